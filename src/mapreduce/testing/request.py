"""What `kill_anything` hands to the process that it starts, and kills."""

from __future__ import annotations

import msgspec

from mapreduce.model import JobSpec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The job to run."""

    name: str
    spec: JobSpec
    source: str
    workers: int
