"""Merging more sorted sources than may be open at once: in passes over neighbours, through scratch run files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mapreduce.dataplane.groups import Groups, GroupSource
from mapreduce.dataplane.merging import FoldInto, plan_pass
from mapreduce.dataplane.runreader import RunReader
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.runwriter import RunWriter
from mapreduce.dataplane.seam import Merger
from mapreduce.dataplane.values import Codec

SCRATCH_HEADER: Final = RunHeader(job=0, index=0, attempt=0, epoch=0)

OpenSource = Callable[[], contextlib.AbstractContextManager[GroupSource]]


class ScratchRuns:
    """Run files of this attempt alone: named after its target, removed when the context ends, however it ends."""

    def __init__(self, target: Path, partitions: int, codec: Codec) -> None:
        self._target, self._partitions, self._codec = target, partitions, codec
        self._made: list[Path] = []

    def __enter__(self) -> ScratchRuns:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._made:
            self.remove(path)

    def write(self, fill: Callable[[RunWriter], None]) -> Path | None:
        """A new run with what `fill` writes; None if that is nothing."""
        path = self._target.with_name(f"{self._target.name}.spill{len(self._made)}")
        self._made.append(path)
        with RunWriter(path, SCRATCH_HEADER, self._partitions, self._codec, is_durable=False) as writer:
            fill(writer)
            return path if writer.close().size else None

    def open(self, path: Path) -> RunReader:
        """Reads one of these runs."""
        return RunReader(path, path.name, self._codec)

    def remove(self, path: Path) -> None:
        """Frees its space before the end."""
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def reduce_sources(
    sources: Sequence[OpenSource],
    width: int,
    partitions: Sequence[int],
    scratch: ScratchRuns,
    merge: Merger,
    fold: FoldInto | None,
) -> list[OpenSource]:
    """The same content in at most `width` sources, in the same order."""
    left = list(sources)
    while len(left) > width:
        left = [
            left[members[0]]
            if len(members) == 1
            else _merged([left[i] for i in members], partitions, scratch, merge, fold)
            for members in plan_pass(len(left), width)
        ]
    return left


def _merged(
    sources: list[OpenSource], partitions: Sequence[int], scratch: ScratchRuns, merge: Merger, fold: FoldInto | None
) -> OpenSource:
    def fill(writer: RunWriter) -> None:
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(source()) for source in sources]
            for partition in partitions:
                for groups in merge([source.groups(partition) for source in opened], fold):
                    writer.write(partition, groups)

    path = scratch.write(fill)
    return _NOTHING if path is None else lambda: scratch.open(path)


class _Nothing:
    """A source without groups."""

    def groups(self, partition: int) -> Iterator[Groups]:
        """Nothing."""
        del partition
        return iter(())


def _NOTHING() -> contextlib.AbstractContextManager[GroupSource]:  # noqa: N802
    return contextlib.nullcontext(_Nothing())
