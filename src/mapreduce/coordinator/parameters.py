"""Parameters of calls, in paths, queries and headers: types with their bounds. Bodies are `protocol.messages`.

Patterns end in `$(?!\\n)`: Python's `$` alone also matches before a last newline, which JSON Schema's does not.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from mapreduce.protocol.messages import Index, JobId

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="sha256 of a code bundle.")]
Stem = Annotated[
    str,
    Meta(
        pattern=r"^(map|reduce)-[0-9]{1,9}\.e[0-9]{1,17}\.a[0-9]{1,5}$(?!\n)",
        description="An attempt's stem, such as map-00003.e1.a2.",
    ),
]
TaskName = Annotated[str, Meta(pattern=r"^(map|reduce)-[0-9]{1,9}$(?!\n)", description="A task, such as map-3.")]
PartName = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^/\x00]+$", description="One of the job's part names.")
]
Sequence = Annotated[int, Meta(ge=0, le=1 << 53)]


class OfJob(msgspec.Struct, frozen=True):
    """Parameters of a call about one job."""

    job: JobId


class StatusParameters(OfJob, frozen=True):
    """Parameters of a job's status."""

    wait_s: Annotated[float, Meta(ge=0, le=60, description="How long to wait for a change.")] = 0.0
    after_sequence: Annotated[Sequence, Meta(description="Answer at once if the status is of a later one.")] = 0


class RunsParameters(OfJob, frozen=True, rename={"start": "from"}):
    """Parameters of a page of runs."""

    start: Annotated[int, Meta(ge=0, le=100_000_000, description="First map index.")] = 0
    limit: Annotated[int, Meta(ge=1, le=5_000, description="Largest number of runs in the page.")] = 5_000


class OfCode(msgspec.Struct, frozen=True):
    """Parameters of a call about one code bundle."""

    digest: Digest


class OfAttempt(OfJob, frozen=True):
    """Parameters of a call about one attempt."""

    stem: Stem


class UploadParameters(OfAttempt, frozen=True):
    """Parameters of a piece of an attempt's file."""

    size: Annotated[int, Meta(ge=1, le=1 << 53, description="Size of the whole file.")]
    offset: Annotated[int, Meta(ge=0, le=1 << 53, description="Where in the file the body begins.")] = 0


class OfSplitFile(OfJob, frozen=True):
    """Parameters of a call about one file of a map's split."""

    index: Index
    number: Annotated[int, Meta(ge=0, le=100_000_000, description="Place of the file in the split, from 0.")]


class OfTask(OfJob, frozen=True):
    """Parameters of a call about one task."""

    task: TaskName


class OfPart(OfJob, frozen=True):
    """Parameters of a call about one part."""

    name: PartName


class EventsParameters(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """Parameters of the stream of events."""

    start: Annotated[Sequence, Meta(description="Send what came after this; 0: begin with the full state.")] = 0
    last_event_id: Annotated[Sequence | None, Meta(description="The same, sent by browsers; it wins.")] = None
