"""zstd from the standard library where it has it (3.14), else from its backport; one level, bounded expansion. Pure."""

from __future__ import annotations

import sys
from typing import Final

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
    from compression.zstd import compress as _compress
else:
    from backports.zstd import ZstdDecompressor, ZstdError
    from backports.zstd import compress as _compress

LEVEL: Final = 1
"""Higher levels shrink little more and cost throughput; lz4 is no faster end to end and 1.75 times bigger."""


def compress(data: bytes) -> bytes:
    """One zstd frame."""
    packed: bytes = _compress(data, LEVEL)
    return packed


def expand(data: bytes, size: int) -> bytes:
    """The content of one frame that must expand to exactly `size` bytes; never makes more. Raises `ValueError`."""
    expander = ZstdDecompressor()
    try:
        raw: bytes = expander.decompress(data, max_length=size)
        if not expander.eof:  # the frame's end may still be unread, but nothing more may come out of it
            raw += expander.decompress(b"", max_length=1)
    except (ZstdError, EOFError) as error:
        raise ValueError("compressed data are damaged") from error
    if not expander.eof or len(raw) != size or expander.unused_data:
        raise ValueError("compressed data have another length than they should")
    return raw
