"""A bounded sample of a job's input, as files of their own: whole records from several places of several files.

No user code runs here. What is small is taken whole; of a large input, pieces are spread over the files and, where a
file can be entered in the middle, over the file, because data changes along its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.dataplane.documents import download, is_url
from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.readers import ReadLimits, read_split
from mapreduce.dataplane.splits import COMPRESSED_SUFFIXES, InputFile
from mapreduce.errors import UsageError
from mapreduce.inlineinputs import with_files
from mapreduce.model import Input, JobSpec
from mapreduce.protocol.messages import FileRange, Split

#: The files of a sample lie below this, each under its whole path.
SAMPLE_FOLDER: Final = "sample"

_MOST_FILES: Final = 64
_MOST_WHOLE_FILES: Final = 1_000
_PIECES: Final = 4
_BLOCK_BYTES: Final = 16 * 1024
_LARGEST_DOCUMENT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the input is tried."""

    bytes: int
    records: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A job whose inputs are a sample of its own."""

    spec: JobSpec
    records: int
    bytes: int
    """As the sample is; of compressed inputs, their content."""
    files: int
    """From how many files it was taken."""
    input_bytes: int
    """Of the whole input, as it is stored."""
    input_files: int
    stored_bytes: int
    """How much of the stored input the sample stands for; equals `bytes` unless files are compressed."""
    is_whole: bool


def take_sample(spec: JobSpec, folder: Path, limits: Limits) -> Sample:
    """Take a sample of the inputs of `spec` and put it below `folder`.

    Raises `InvalidInput`, and `TaskFailed` for records that cannot be read.
    """
    spec = with_files(spec, folder / "inline")
    listed = [list_input(source) for source in spec.inputs]
    total = sum(file.bytes for files in listed for file in files)
    count = sum(map(len, listed))
    taker = _Taker(folder, limits)
    inputs: list[Input] = []
    for source, files in zip(spec.inputs, listed, strict=True):
        share = max(1, limits.bytes * sum(file.bytes for file in files) // total) if total else limits.bytes
        inputs += taker.take(source, files, min(share, limits.bytes))
    if not inputs:
        raise UsageError("the sample is empty: the input has no records; name another one")
    sampled = msgspec.structs.replace(spec, inputs=tuple(inputs))
    return Sample(
        spec=sampled,
        records=taker.records,
        bytes=taker.bytes,
        files=taker.files,
        input_bytes=total,
        input_files=count,
        stored_bytes=taker.stored_bytes,
        is_whole=taker.is_whole,
    )


class _Taker:
    """Takes pieces of one input after the other until there are enough."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self.records = self.bytes = self.files = self.stored_bytes = 0
        self.is_whole = True

    def take(self, source: Input, files: Sequence[InputFile], share: int) -> Iterator[Input]:
        """The samples of one input's files, each an input of its own."""
        chosen = _spread(files, _MOST_WHOLE_FILES if sum(file.bytes for file in files) <= share else _MOST_FILES)
        self.is_whole &= len(chosen) == len(files)
        left = share
        for index, file in enumerate(chosen):
            allowed = max(1, left // (len(chosen) - index))
            target = self._target(file.path, source)
            before = self.bytes
            content, is_whole = self._content(file, source, allowed)
            self.is_whole &= is_whole
            if self.bytes == before and source.format != "files":
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            self.files += 1
            left = max(0, left - (self.bytes - before))
            yield msgspec.structs.replace(source, uri=str(target), secret_ref=None)

    def _target(self, path: str, source: Input) -> Path:
        """Where the sample of a file lies: its own path, moved below the folder, without what says it is compressed."""
        name = path.partition("://")[2] if is_url(path) else path
        for suffix in COMPRESSED_SUFFIXES:
            name = name.removesuffix(suffix) if source.format != "files" else name
        kept = [part for part in Path(name).parts if part not in {"/", ".."}]
        return self._folder.joinpath(SAMPLE_FOLDER, *kept)

    def _content(self, file: InputFile, source: Input, allowed: int) -> tuple[bytes, bool]:
        """Whole records of a file, about as many bytes as allowed, and whether they are all of it."""
        path = self._local(file)
        if source.format == "files":
            if self.bytes and self.bytes + file.bytes > self._limits.bytes:
                return b"", False
            content = Path(path).read_bytes()
            self._count(1, len(content), file.bytes)
            return content, True
        is_cuttable = source.format in {"lines", "jsonl"} and not file.is_compressed and not is_url(file.path)
        if file.bytes <= allowed and not file.is_compressed:
            return self._piece(file, path, source, (0, file.bytes), file.bytes)
        if not is_cuttable:
            return self._piece(file, path, source, (0, file.bytes), allowed)
        starts = [piece * file.bytes // _PIECES for piece in range(_PIECES)]
        pieces = [
            self._piece(file, path, source, (start, file.bytes), max(1, allowed // _PIECES))[0] for start in starts
        ]
        return b"".join(pieces), False

    def _piece(
        self, file: InputFile, path: str, source: Input, where: tuple[int, int], allowed: int
    ) -> tuple[bytes, bool]:
        part = FileRange(path=file.path, start=where[0], end=where[1], size=file.bytes, mtime_ns=file.mtime_ns)
        pieces: list[bytes] = []
        size, is_whole = 0, True
        for block in read_split(
            Split(input=0, files=(part,)),
            source,
            ReadLimits(block_bytes=max(1, min(_BLOCK_BYTES, allowed))),
            paths=(path,),
        ):
            if self.records >= self._limits.records or size >= allowed:
                is_whole = False
                break
            raw: bytes = getattr(block, "raw", b"")
            pieces.append(raw if raw.endswith(b"\n") else raw + b"\n")
            size += len(pieces[-1])
            stored = len(raw) if not file.is_compressed else 0
            self._count(len(block.records), len(raw), stored)
        if file.is_compressed and is_whole:
            self.stored_bytes += file.bytes
        return b"".join(pieces), is_whole

    def _count(self, records: int, size: int, stored: int) -> None:
        self.records += records
        self.bytes += size
        self.stored_bytes += stored

    def _local(self, file: InputFile) -> str:
        if not is_url(file.path):
            return file.path
        if file.bytes > _LARGEST_DOCUMENT_BYTES:
            raise UsageError(f"{file.path} is too large to be fetched for a sample; name a part of it on this machine")
        target = self._folder / "fetched" / str(self.files)
        target.parent.mkdir(parents=True, exist_ok=True)
        download(file.path, target, headers={}, expected_bytes=file.bytes)
        return str(target)


def _spread(files: Sequence[InputFile], most: int) -> Sequence[InputFile]:
    """At most so many of the files, evenly from first to last."""
    if len(files) <= most:
        return files
    return [files[index * len(files) // most] for index in range(most)]
