"""What the process that tries a job is given, and what it answers. Two of them are compared by `comparing`."""

from __future__ import annotations

from typing import Final

import msgspec

from mapreduce.model import JobSpec
from mapreduce_cli.checking.findings import Finding

#: Runs of one trial, by name: the engine, the reference, the engine once more; in a process with other hashes the
#: engine with the code imported anew for each task, and without the combiner.
ENGINE: Final = "engine"
REFERENCE: Final = "reference"
AGAIN: Final = "again"
ANEW: Final = "anew"
UNCOMBINED: Final = "uncombined"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What to try. Without a sample only what the code declares is looked at."""

    name: str
    spec: JobSpec
    bundle: bytes
    sha256: str
    has_sample: bool
    is_first: bool
    """The one that looks for everything; the other one only does the same again under other hashes."""
    limit_s: float
    report: str
    """File for the answer."""


class Call(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one call of the user's gave."""

    place: str
    """The record, or the key."""
    digest: int
    shown: str


class Report(msgspec.Struct, kw_only=True):
    """What was seen."""

    findings: list[Finding] = []
    records: int = 0
    pairs: int = 0
    keys: int = 0
    reduced_keys: int = 0
    emitted: int = 0
    """Records that the reducer emitted for the keys that were reduced."""
    mapped: list[Call] = []
    reduced: list[Call] = []
    outputs: dict[str, dict[str, bytes]] = {}
    """Parts by run."""
    counters: dict[str, int] = {}
    warnings: dict[str, int] = {}
    is_cut_short: bool = False
    """The time was over before everything was tried."""
