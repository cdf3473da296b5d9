"""Publishing: the one place where an output gets its final name. Only the coordinator does it, and only by its own log.

Every step may be repeated after a crash at any point: a rename that was done is recognised by its target, `_SUCCESS`
is written last and whole. A rename that reports an error may have happened (rename(2), BUGS), so the target is looked
at before judging.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import xxhash

from mapreduce.coordinator.statefiles import replace_file
from mapreduce.dataplane.runs import LOST_ERRNOS
from mapreduce.errors import StorageFailed
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.tasks import Output
from mapreduce.wal.files import sync_folder

SUCCESS_NAME: Final = "_SUCCESS"
SUCCESS_FORMAT: Final = 1


class Part(msgspec.Struct, frozen=True):
    """One committed output and the name it gets."""

    index: int
    source: Path
    target: Path
    output: Output


class Publication(msgspec.Struct, frozen=True):
    """All that publishing needs, taken from the state at once, so that it can run beside the event loop."""

    folder: Path
    parts: tuple[Part, ...]
    success: bytes
    is_content_checked: bool = False
    """Whether parts are read and compared with their digests first: those that came over the network are."""


def plan_publication(
    job: Job, attempts_folder: Path, at: float, version: str, *, is_content_checked: bool = False
) -> Publication:
    """Names every part and writes out `_SUCCESS`. Pure."""
    folder = Path(job.spec.output.uri)
    table = job.outputs
    parts, empty = [], []
    for index in range(table.count):
        output = table.output(index)
        name = job.spec.output.name_template.format(partition=index)
        if output.has_file:
            parts.append(Part(index, attempts_folder / f"{output.id.stem}.out", folder / name, output))
        else:
            empty.append(index)
    success = _success(job, tuple(parts), empty, at, version)
    return Publication(folder, tuple(parts), success, is_content_checked)


def publish(publication: Publication, is_mine: Callable[[], bool]) -> tuple[tuple[int, ...], str]:
    """Gives every part its name, then writes `_SUCCESS`. Blocking.

    Args:
        publication: what to publish.
        is_mine: False once a newer incarnation of the coordinator has claimed the log; checked before anything is
        renamed.

    Returns:
        Indexes of tasks whose output is gone or has another size, and what is wrong with the first: nothing was
        renamed, they have to be done again. Empty: all is published.

    Raises:
        StorageFailed: the output folder cannot be read or written, or this incarnation is fenced.
    """
    is_checked = publication.is_content_checked
    try:
        missing = [(part.index, problem) for part in publication.parts if (problem := _problem(part, is_checked))]
    except OSError as error:  # it says nothing about the outputs: to make them again is for those that are gone
        raise StorageFailed(f"looking at what is to be published to {publication.folder} failed: {error}") from error
    if missing:
        return tuple(index for index, _ in missing), missing[0][1]
    if not is_mine():
        raise StorageFailed("a newer coordinator has taken over; it publishes")
    try:
        for part in publication.parts:
            _rename(part)
        sync_folder(publication.folder)
        replace_file(publication.folder / SUCCESS_NAME, publication.success)
    except OSError as error:
        raise StorageFailed(f"publishing to {publication.folder} failed: {error}") from error
    return (), ""


def _problem(part: Part, is_content_checked: bool) -> str:
    """Why this part cannot be published, or "". A part that has its name already was published before a crash."""
    try:
        size = part.source.stat().st_size
    except FileNotFoundError:
        return "" if _is_published(part) else f"{part.source} is gone"
    if size != part.output.bytes:
        return f"{part.source} has {size} bytes, {part.output.bytes} were committed"
    if is_content_checked and not _is_what_was_committed(part.source, part.output):
        return f"{part.source} is not what was committed"
    return ""


def _is_published(part: Part) -> bool:
    return _is_what_was_committed(part.target, part.output)


def _is_what_was_committed(path: Path, output: Output) -> bool:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != output.bytes:
                return False
            checksum = xxhash.xxh3_64()
            while block := file.read(1 << 20):
                checksum.update(block)
    except OSError as error:
        if error.errno not in LOST_ERRNOS:
            raise
        return False
    return checksum.intdigest() == output.digest


def _rename(part: Part) -> None:
    try:
        part.source.rename(part.target)
    except FileNotFoundError:
        if not _is_published(part):
            raise
    except OSError:
        if part.source.exists() or not _is_published(part):
            raise


def _success(job: Job, parts: tuple[Part, ...], empty: list[int], at: float, version: str) -> bytes:
    table = job.outputs
    listed = {
        part.target.name: {
            "bytes": part.output.bytes,
            "records": part.output.records,
            "xxh3": f"{part.output.digest:016x}",
            "keyType": part.output.key_type,
            "sorted": part.output.is_sorted,
        }
        for part in parts
    }
    content: dict[str, Any] = {
        "format": SUCCESS_FORMAT,
        "version": version,
        "job": job.id,
        "name": job.name,
        "code": job.code,
        "plan": job.plan,
        "startedAt": job.started_at,
        "finishedAt": at,
        "maps": job.maps.count,
        "reduces": job.reduces.count,
        "mapsRemade": job.maps.remade,
        "attemptsFailed": job.maps.failed_attempts + job.reduces.failed_attempts,
        "input": {"bytes": job.input_bytes, "records": job.input_records},
        "output": {"bytes": sum(table.out_bytes), "records": sum(table.out_records), "format": job.spec.output.format},
        "counters": dict(sorted(job.counters.items())),
        "warnings": dict(sorted(job.warnings.items())),
        "step_s": {name: round(seconds, 6) for name, seconds in sorted(job.step_s.items())},
        "parts": listed,
        "emptyParts": empty,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
