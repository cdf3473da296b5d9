"""Is a run file whole? Every checksum of it, without decoding a key or value, hence without the job's code.

For the coordinator, which judges runs that a reader reported and outputs that a damaged log may have forgotten. Reading
what is in a run is `runreader`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from xxhash import xxh3_64_intdigest

from mapreduce.dataplane import runs
from mapreduce.errors import CorruptRun

#: More than this is read in pieces: bounded memory whatever the file says.
_MAX_BLOCK_BYTES = runs.MAX_RAW_BYTES


def check_run(path: Path, digest: int) -> None:
    """Reads the whole file and checks it against the committed `digest`.

    Raises:
        CorruptRun: it is missing, cut or altered, or another run than the one committed, or its disk does not give it.
        OSError: it cannot be told here and now; the file may be whole.
    """
    if whole_run_digest(path) != digest:
        raise CorruptRun(path.name, "its content is not what was committed.")


def whole_run_digest(path: Path) -> int:
    """The digest of the run's content, after all of it was read and checked. Raises as `check_run`."""
    return _digest(path, is_whole=True)


def run_digest_of(path: Path) -> int:
    """The digest that the run's own index gives; the blocks are not looked at. Raises as `check_run`."""
    return _digest(path, is_whole=False)


def _digest(path: Path, *, is_whole: bool) -> int:
    try:
        with path.open("rb") as file:
            entries = _index(file)
            for entry in entries if is_whole else ():
                file.seek(entry.offset)
                _check_blocks(file.read, entry)
        return runs.run_digest(entries)
    except OSError as error:
        if error.errno not in runs.LOST_ERRNOS:
            raise
        raise CorruptRun(path.name, f"it cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise CorruptRun(path.name, f"{error}.") from error


def _index(file: BinaryIO) -> Sequence[runs.IndexEntry]:
    size = file.seek(0, 2)
    if size < runs.HEADER_BYTES + runs.TRAILER_BYTES:
        raise ValueError("it is cut short")
    file.seek(0)
    _, partitions = runs.unpack_header(file.read(runs.HEADER_BYTES))
    file.seek(size - runs.TRAILER_BYTES)
    offset, _ = runs.unpack_trailer(file.read(runs.TRAILER_BYTES), size)
    file.seek(offset)
    return runs.unpack_index(file.read(size - offset), offset, partitions)


def _check_blocks(read: Callable[[int], bytes], entry: runs.IndexEntry) -> None:
    left = entry.bytes
    for number in range(entry.blocks):
        head = read(runs.BLOCK_HEADER_BYTES)
        left -= len(head)
        if len(head) < runs.BLOCK_HEADER_BYTES:
            raise ValueError(f"a block of partition {entry.partition} is cut short")
        stored_bytes = runs.BLOCK.unpack_from(head)[0]
        if stored_bytes > min(left, _MAX_BLOCK_BYTES):
            raise ValueError(f"a block of partition {entry.partition} has a damaged header")
        stored = read(stored_bytes)
        left -= len(stored)
        checksum = runs.CHECKSUM.unpack_from(head, runs.BLOCK.size)[0]
        if checksum != xxh3_64_intdigest(head[: runs.BLOCK.size] + stored, number):
            raise ValueError(f"a block of partition {entry.partition} is altered")
    if left:
        raise ValueError(f"partition {entry.partition} does not hold what the index says")
