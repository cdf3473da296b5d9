"""Planning: which map task reads what. Pure; the listing it starts from is `inputs`.

A split holds ranges of files that are read alike, in the order of the listing, and map indexes follow it. The plan is
a function of names, sizes, formats and the split size alone, never of the workers. What may be cut: `lines` and
`jsonl`, uncompressed (the reader of a range owns the records that start in it). Everything else is one range a file:
`csv` because a quoted newline cannot be told from the end of a row without reading from the start, compressed files
because they cannot be entered in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from mapreduce.model import InputFormat, JobSpec, split_size_bytes
from mapreduce.protocol.messages import FileRange, Split

MAX_FILES_PER_SPLIT: Final = 1_000

#: Extensions of compressed files that the readers open by themselves.
COMPRESSED_SUFFIXES: Final = (".gz", ".zst")

_CUTTABLE: Final = frozenset({"lines", "jsonl"})


class InputFile(msgspec.Struct, frozen=True):
    """One file of an input, as it was when it was listed."""

    path: str
    bytes: int
    mtime_ns: int
    is_compressed: bool = False
    is_whole: bool = False
    """Cannot be entered in the middle: its server sends all of it or nothing."""
    validator: str = ""
    """Of a document behind a URL: what it was when it was listed."""


def plan_inputs(spec: JobSpec, files: Sequence[Sequence[InputFile]]) -> Iterator[Split]:
    """The splits of a whole job; `files[i]` belong to the i-th input.

    Adjacent inputs that are read alike are planned as one: a shell that expands `books/*.txt` makes as many inputs as
    there are books, and small ones are packed all the same. `Split.input` is then the first of them.
    """
    size = split_size_bytes(spec, sum(file.bytes for listed in files for file in listed))
    alike = groupby(
        range(len(files)),
        # what is read with a Secret needs to know which
        key=lambda i: (spec.inputs[i].format, spec.inputs[i].encoding, spec.inputs[i].secret_ref),
    )
    for (kind, _, _), indexes in alike:
        first = next(indexes)
        listed = [*files[first], *(file for index in indexes for file in files[index])]
        for split in plan_splits([listed], [kind], size):
            yield Split(input=first, files=split.files)


def plan_splits(
    files: Sequence[Sequence[InputFile]], formats: Sequence[InputFormat], largest_bytes: int
) -> Iterator[Split]:
    """Cut big files and pack small ones, up to `largest_bytes` and 1 000 files a split.

    `files[i]` and `formats[i]` belong to the i-th input of the job; a split never mixes inputs. Empty files are left
    out, except with the format `files`, where each is a record.
    """
    for index, (listed, kind) in enumerate(zip(files, formats, strict=True)):
        for packed in _pack(_ranges(listed, kind, largest_bytes), largest_bytes):
            yield Split(input=index, files=packed)


def _ranges(files: Iterable[InputFile], kind: InputFormat, split_size_bytes: int) -> Iterator[FileRange]:
    for file in files:
        if file.bytes == 0 and kind != "files":
            continue
        pieces = 1
        if kind in _CUTTABLE and not file.is_compressed and not file.is_whole:
            pieces = -(-file.bytes // split_size_bytes)
        for piece in range(pieces):  # of nearly the same size, so that no task is left with a crumb
            start, end = piece * file.bytes // pieces, (piece + 1) * file.bytes // pieces
            yield FileRange(
                path=file.path,
                start=start,
                end=end,
                size=file.bytes,
                mtime_ns=file.mtime_ns,
                validator=file.validator,
            )


def _pack(ranges: Iterable[FileRange], split_size_bytes: int) -> Iterator[tuple[FileRange, ...]]:
    packed: list[FileRange] = []
    packed_bytes = 0
    for part in ranges:
        size = part.end - part.start
        if packed and (packed_bytes + size > split_size_bytes or len(packed) == MAX_FILES_PER_SPLIT):
            yield tuple(packed)
            packed, packed_bytes = [], 0
        packed.append(part)
        packed_bytes += size
    if packed:
        yield tuple(packed)
