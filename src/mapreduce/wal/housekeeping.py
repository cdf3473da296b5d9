"""Deleting and setting aside files of a log folder. Every step may be interrupted; the next opening finishes it.

What may go is decided by `retention`.
"""

from __future__ import annotations

from contextlib import suppress

from mapreduce.wal.files import FileSystem, write_fully
from mapreduce.wal.measures import LogLimits
from mapreduce.wal.names import BROKEN, TEMPORARY, Listing, is_temporary_of_older_epoch, place
from mapreduce.wal.recovery import LooseEnd
from mapreduce.wal.retention import Disposal


def remove_temporaries(files: FileSystem, folder: str, epoch: int, listing: Listing) -> None:
    """Remove what earlier incarnations did not finish writing. Raises OSError."""
    for name in listing.temporary:
        if is_temporary_of_older_epoch(name, epoch):
            _remove(files, place(folder, name))


def dispose(files: FileSystem, folder: str, disposal: Disposal) -> None:
    """Carry a disposal out and make it durable. Raises OSError."""
    for name in disposal.keep_as_broken:
        with suppress(FileNotFoundError):  # another incarnation may have been quicker
            files.rename(place(folder, name), place(folder, name + BROKEN))
    for name in disposal.remove:
        _remove(files, place(folder, name))
    if disposal.remove or disposal.keep_as_broken:
        files.sync_folder(folder)


def keep_loose_end(files: FileSystem, folder: str, loose_end: LooseEnd, limits: LogLimits) -> list[str]:
    """Keep a copy of what is cut off, for people; return what to tell them.

    A help, not a duty, and it does not last through a power cut: recovery goes on without it when the disk is full.
    """
    name = loose_end.segment.name + BROKEN
    temporary = place(folder, name + TEMPORARY)
    try:
        file = files.create(temporary)
        try:
            write_fully(file, loose_end.data[: limits.broken_bytes_max])
        finally:
            file.close()
        files.rename(temporary, place(folder, name))
    except OSError as error:
        with suppress(OSError):
            files.remove(temporary)
        return [f"{name}: no copy of the cut-off bytes was kept: {error}"]
    return [f"{name}: the bytes from offset {loose_end.offset} on that were cut off."]


def _remove(files: FileSystem, path: str) -> None:
    with suppress(FileNotFoundError):
        files.remove(path)
