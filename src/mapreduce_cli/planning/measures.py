"""What is measured on a sample, as data that crosses a process."""

from __future__ import annotations

import msgspec

from mapreduce.model import JobSpec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure: the same job on a small and on a larger sample."""

    name: str
    bundle: bytes
    sha256: str
    small: JobSpec
    large: JobSpec
    limit_s: float
    report: str
    """File for the answer."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One map task over a sample, and one reduce task over its run."""

    input_bytes: int
    input_records: int
    map_s: float
    run_bytes: int
    run_records: int
    reduce_s: float
    output_bytes: int
    output_records: int
    grouping_bytes: int
    """By how much the process grew."""


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """Of both samples, or what went wrong."""

    small: Measure | None = None
    large: Measure | None = None
    base_bytes: int = 0
    """Memory of the process before the first record."""
    problem: str = ""
