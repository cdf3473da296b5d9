"""A FileSystem in memory that forgets, tears, fails and crashes on demand. No knowledge of logs.

`Disk` is the volume: what programs see (the cache) and what would survive a power cut. `FaultyFiles` is one program's
view of it; a `Fault` hooks every call. `Disk.crash(seed)` is a power cut: of all un-synced writes and directory
changes any subset survives. Ending a program without a power cut needs no call: a new `FaultyFiles` on the same disk
sees the cache.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from mapreduce.wal.files import WritableFile

#: Torn writes survive in pieces of this size: smaller than a record header, so that all of a record's parts get torn.
SECTOR_BYTES: Final = 16

Losing = Literal["any", "everything", "nothing"]


class Crash(BaseException):
    """The program ends here, in the middle of a call."""


@dataclass(slots=True)
class _Inode:
    """One file: what is seen, what is on the disk, and the un-synced writes between the two."""

    seen: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of a directory: names that go and names that come, atomically."""

    gone: tuple[str, ...] = ()
    come: tuple[tuple[str, _Inode], ...] = ()

    def apply(self, entries: dict[str, _Inode]) -> None:
        for path in self.gone:
            entries.pop(path, None)
        entries.update(self.come)


@dataclass(slots=True)
class Disk:
    """A volume that several programs may use at once."""

    entries: dict[str, _Inode] = field(default_factory=dict)
    kept_entries: dict[str, _Inode] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    capacity_bytes: int | None = None

    def change(self, change: _Change) -> None:
        """Change the directory, visibly and not yet durably."""
        change.apply(self.entries)
        self.changes.append(change)

    def used_bytes(self) -> int:
        """Return what the visible files take."""
        return sum(len(inode.seen) for inode in self.entries.values())

    def names(self) -> list[str]:
        """Return the names of all visible files, without folders."""
        return sorted(path.rpartition("/")[2] for path in self.entries)

    def image(self) -> dict[str, bytes]:
        """Return the visible files by path."""
        return {path: bytes(inode.seen) for path, inode in self.entries.items()}

    @classmethod
    def of_image(cls, image: dict[str, bytes]) -> Disk:
        """Return a disk that holds exactly these files, durably."""
        disk = cls()
        for path, data in image.items():
            disk.entries[path] = _Inode(bytearray(data), bytearray(data))
            disk.folders.add(path.rpartition("/")[0])
        disk.kept_entries = dict(disk.entries)
        return disk

    def crash(self, seed: int, losing: Losing = "any") -> Disk:
        """Return what a power cut leaves; of what was not synced a random subset, everything, or nothing is lost."""
        random = Random(seed)
        entries = dict(self.kept_entries)
        for change in self.changes:
            if losing == "nothing" or (losing == "any" and random.random() < 0.5):
                change.apply(entries)
        return Disk.of_image({path: self._survivor(inode, random, losing) for path, inode in entries.items()})

    @staticmethod
    def _survivor(inode: _Inode, random: Random, losing: Losing) -> bytes:
        data = bytearray(inode.kept)
        pieces = [
            (offset + at, written[at : at + SECTOR_BYTES])
            for offset, written in inode.pending
            for at in range(0, len(written), SECTOR_BYTES)
        ]
        random.shuffle(pieces)
        for offset, piece in pieces:
            if losing == "everything" or (losing == "any" and random.random() < 0.5):
                continue
            # The length may be on the disk before the data: what lies between reads as zeros.
            data.extend(bytes(max(0, offset - len(data))))
            part = piece if losing == "nothing" or random.random() < 0.8 else piece[: random.randrange(len(piece) + 1)]
            data[offset : offset + len(part)] = part
        return bytes(data)


#: Called before each file call with its name and path; may raise Crash or OSError, or switch to another program.
Hook = Callable[[str, str], None]


class FaultyFiles:
    """One program's view of a disk."""

    def __init__(self, disk: Disk, hook: Hook | None = None, *, write_limit: int | None = None) -> None:
        self.disk = disk
        self.write_limit = write_limit
        self.calls: list[str] = []
        self._hook = hook

    def before(self, call: str, path: str) -> None:
        """Record a call, and let the hook act."""
        self.calls.append(call)
        if self._hook is not None:
            self._hook(call, path)

    def make_folder(self, folder: str) -> None:
        self.before("make_folder", folder)
        self.disk.folders.add(folder)

    def list_folder(self, folder: str) -> list[str]:
        self.before("list_folder", folder)
        if folder not in self.disk.folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", folder)
        prefix = folder + "/"
        return [path.removeprefix(prefix) for path in self.disk.entries if path.startswith(prefix)]

    def create(self, path: str) -> WritableFile:
        self.before("create", path)
        if path in self.disk.entries:
            raise FileExistsError(errno.EEXIST, "exists", path)
        inode = _Inode()
        self.disk.change(_Change(come=((path, inode),)))
        return _FaultyFile(self, path, inode)

    def read(self, path: str, limit: int | None = None) -> bytes:
        self.before("read", path)
        return bytes(self._inode(path).seen[:limit])

    def size(self, path: str) -> int:
        self.before("size", path)
        return len(self._inode(path).seen)

    def rename(self, source: str, target: str) -> None:
        self.before("rename", source)
        self.disk.change(_Change(gone=(source,), come=((target, self._inode(source)),)))

    def remove(self, path: str) -> None:
        self.before("remove", path)
        self._inode(path)
        self.disk.change(_Change(gone=(path,)))

    def sync_folder(self, folder: str) -> None:
        self.before("sync_folder", folder)
        self.disk.kept_entries = dict(self.disk.entries)
        self.disk.changes.clear()

    def free_bytes(self, folder: str) -> int:
        self.before("free_bytes", folder)
        capacity = self.disk.capacity_bytes
        return 1 << 40 if capacity is None else max(0, capacity - self.disk.used_bytes())

    def _inode(self, path: str) -> _Inode:
        if path not in self.disk.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self.disk.entries[path]


class _FaultyFile:
    """One open file. A sync that fails leaves the pages clean: what was pending never reaches the disk (fsyncgate)."""

    def __init__(self, files: FaultyFiles, path: str, inode: _Inode) -> None:
        self._files, self._path, self._inode = files, path, inode
        self._is_closed = False

    def write(self, data: bytes | memoryview) -> int:
        self._check_open()
        disk = self._files.disk
        taken = bytes(data[: self._files.write_limit])
        try:
            self._files.before("write", self._path)
        except Crash:
            self._append(taken)  # the call was under way: the crash decides how much of it survives
            raise
        if disk.capacity_bytes is not None:
            room = disk.capacity_bytes - disk.used_bytes()
            if room <= 0:
                raise OSError(errno.ENOSPC, "no space left", self._path)
            taken = taken[:room]
        self._append(taken)
        return len(taken)

    def sync(self) -> None:
        self._check_open()
        try:
            self._files.before("sync", self._path)
        except OSError:
            self._inode.pending.clear()
            raise
        kept = self._inode.kept
        for offset, data in self._inode.pending:
            kept.extend(bytes(max(0, offset - len(kept))))  # where an earlier sync failed
            kept[offset : offset + len(data)] = data
        self._inode.pending.clear()

    def close(self) -> None:
        self._check_open()
        self._is_closed = True
        self._files.before("close", self._path)

    def _append(self, data: bytes) -> None:
        self._inode.pending.append((len(self._inode.seen), data))
        self._inode.seen += data

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, "closed", self._path)


def failing_at(call_index: int, failure: Callable[[], BaseException]) -> Hook:
    """Return a hook that raises at the N-th call (0-based) and at no other."""
    seen = 0

    def hook(_call: str, _path: str) -> None:
        nonlocal seen
        seen += 1
        if seen == call_index + 1:
            raise failure()

    return hook
