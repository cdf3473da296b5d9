"""Streaming gzip and zstd, with an end for every bad case: cut short, corrupt, followed by garbage, or a bomb.

Whole files only, by extension. Cutting the text into records is `readers`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from mapreduce.errors import TaskFailed
from mapreduce.model import MIB

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

#: A file may become this many times bigger. Real text reaches 10 to 100; a file of zeros 1 030 (gzip) and far more
#: (zstd).
MAX_EXPANSION: Final = 500
#: No file is called a bomb before it has given this much.
EXPANSION_ALLOWANCE_BYTES: Final = 256 * MIB

_GZIP_WINDOW: Final = 31  # zlib: a window of 2**15 and a gzip header


class _Decompressor(Protocol):
    """What zlib's, zstd's and all other decompressors of the standard library have in common, once wrapped."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    def has_more(self) -> bool: ...


class _Gzip:
    """One member of a gzip file."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_WINDOW)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    def has_more(self) -> bool:
        return bool(self._inner.unconsumed_tail)


class _Zstd:
    """One frame of a zstd file."""

    def __init__(self) -> None:
        self._inner: Any = zstd.ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._inner.decompress(data, max_length))

    def has_more(self) -> bool:
        return not self._inner.needs_input


def decompressed(
    chunks: Iterable[bytes],
    path: str,
    size_bytes: int,
    *,
    block_bytes: int = MIB,
    max_expansion: int = MAX_EXPANSION,
    allowance_bytes: int = EXPANSION_ALLOWANCE_BYTES,
) -> Iterator[bytes]:
    """The content of a compressed file of `size_bytes`, in pieces of at most `block_bytes`. Raises `TaskFailed`."""
    kind, make = ("gzip", _Gzip) if path.endswith(".gz") else ("zstd", _Zstd)
    given = 0
    try:
        for piece in _members(iter(chunks), make, block_bytes):
            given += len(piece)
            if given > max(allowance_bytes, max_expansion * size_bytes):
                raise TaskFailed(
                    "input",
                    f"{path} unpacks to more than {max_expansion} times its size ({size_bytes} bytes): it looks like "
                    f"a bomb. "
                    f"If it is not, unpack it and use the plain file.",
                )
            yield piece
    except EOFError:
        raise TaskFailed(
            "input",
            f"{path} ends in the middle of its {kind} data, after {given} bytes of content: it was cut short. Make it "
            f"again.",
        ) from None
    except (zlib.error, zstd.ZstdError) as error:
        raise TaskFailed(
            "input", f"{path} is not valid {kind}, after {given} bytes of content: {error}. Make it again."
        ) from None


def _members(chunks: Iterator[bytes], make: Callable[[], _Decompressor], block_bytes: int) -> Iterator[bytes]:
    """The content of all members (gzip) or frames (zstd). Zeros behind the last member are padding, as in gzip."""
    data = next(chunks, b"")
    while data:
        member = make()
        while not member.eof:
            piece = member.decompress(data, block_bytes)
            if piece:
                yield piece
            if member.eof or member.has_more():
                data = b""
                continue
            data = next(chunks, b"")
            if not data:
                raise EOFError
        data = member.unused_data or next(chunks, b"")
        while data and not data.strip(b"\0"):
            data = next(chunks, b"")
        data = data.lstrip(b"\0") if make is _Gzip else data
