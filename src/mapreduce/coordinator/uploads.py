"""Files that workers hand in piece by piece: appended, and under their name only when whole, checked and on disk.

Which files are wanted is `transfers`. A file that is still being handed in has another name, which no listing takes for
a run or an output, and survives a crash: whoever sends it asks how much is here and goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mapreduce.coordinator.blocking import Runner
from mapreduce.coordinator.refusals import Refused, bad_request, conflict
from mapreduce.protocol.messages import UploadReply
from mapreduce.wal.files import make_folder, sync_folder

PART_SUFFIX: Final = ".part"

#: Looks at a whole file before it gets its name; raises ValueError for one that is not what it should be.
Check = Callable[[Path], None]


def part_path(target: Path) -> Path:
    """Where the file lies while it is being handed in."""
    return target.with_name(f".{target.name}{PART_SUFFIX}")


class Uploads:
    """All uploads of one coordinator; pieces of one file are taken one after the other."""

    def __init__(self, run: Runner) -> None:
        self._run = run
        self._locks: dict[Path, tuple[asyncio.Lock, list[None]]] = {}

    async def take(self, target: Path, *, offset: int, size: int, body: bytes, check: Check) -> UploadReply:
        """Append `body` if it begins where the file ends; with the last byte, check it and give it its name.

        Raises Refused: `bad-request` for more bytes than `size`, `conflict` for content that `check` refuses (what is
        here is thrown away then) or a file of another size.
        """
        lock, users = self._locks.setdefault(target, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                return await self._run(lambda: _take(target, offset, size, body, check))
        finally:
            users.pop()
            if not users:
                del self._locks[target]


def _take(target: Path, offset: int, size: int, body: bytes, check: Check) -> UploadReply:
    if (known := _size(target)) is not None:
        if known != size:
            raise conflict(f"{target.name} is here already, with {known} bytes and not {size}.")
        return UploadReply(received=size, is_complete=True)
    part = part_path(target)
    received = _size(part) or 0
    if body and offset == received:
        if received + len(body) > size:
            raise bad_request(f"offset: {len(body)} bytes from {offset} on are more than the {size} of the file")
        if not received:
            make_folder(part.parent)
        with part.open("ab") as file:
            file.write(body)
        received += len(body)
    if received > size:  # an upload of the same name announced another size
        part.unlink()
        received = 0
    if received < size:
        return UploadReply(received=received, is_complete=False)
    try:
        _complete(part, target, check)
    except (OSError, Refused):  # after a failed fsync nobody knows what the file holds
        part.unlink(missing_ok=True)
        raise
    return UploadReply(received=size, is_complete=True)


def _complete(part: Path, target: Path, check: Check) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    try:
        check(part)
    except ValueError as error:
        raise conflict(f"{target.name} arrived and is not what it should be: {error} It was thrown away.") from None
    part.rename(target)
    sync_folder(target.parent)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
