"""Checks of a local run that need the file system and no user code: all of them before any work begins.

Input files are listed in their defined order; what is wrong with one is said by `dataplane.inputs`. The output folder
is `local.claiming`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mapreduce.dataplane.inputs import list_input
from mapreduce.errors import InvalidInput, UsageError
from mapreduce.inlineinputs import content_name, size_bytes
from mapreduce.model import MIB, Input, JobSpec
from mapreduce.ownerrecord import InputEntry

#: Below this a run would come to a stop at once: the coordinator grants nothing on a full disk.
LEAST_FREE_BYTES: Final = 96 * MIB

#: Most worker processes that are started unasked.
MOST_DEFAULT_WORKERS: Final = 16


def refuse_missing(uris: Iterable[str], base: Path) -> None:
    """Refuse inputs named without a wildcard that do not exist: the commonest mistake, said before anything starts."""
    for uri in uris:
        if "://" not in uri and not glob.has_magic(uri) and not os.path.lexists(base / uri):
            list_input(Input(uri=str(base / uri)))


def list_inputs(spec: JobSpec, output: Path) -> list[InputEntry]:
    """All input files of the job, in order. Raises InvalidInput, also for one that lies in the output folder."""
    entries: list[InputEntry] = []
    for source in spec.inputs:
        if source.inline is not None:
            entries.append((content_name(source.inline), size_bytes(source.inline), 0))
            continue
        for file in list_input(source):
            if Path(file.path).is_relative_to(output):
                raise InvalidInput(file.path, "lies in the output folder.", "Write to another folder with -o.")
            entries.append((file.path, file.bytes, file.mtime_ns))
    return entries


def check_space(folder: Path) -> None:
    """Refuse to begin on a volume that is full. Raises UsageError."""
    facts = os.statvfs(folder)
    free_bytes = facts.f_bavail * facts.f_frsize
    if free_bytes < LEAST_FREE_BYTES:
        raise UsageError(
            f"output {folder}: its volume has {free_bytes // MIB} MiB left, and a run needs "
            f"{LEAST_FREE_BYTES // MIB} MiB at least; make room, or choose another folder"
        )


def usable_cpu_count() -> int:
    """CPUs that this process may use, at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def default_worker_count() -> int:
    """Workers to start when no number is asked for: one for each CPU that this process may use, at most 16."""
    return min(usable_cpu_count(), MOST_DEFAULT_WORKERS)
