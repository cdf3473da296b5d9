"""The run file: all that one map attempt made, by partition, in key order, checksummed. Layout and packing only.

`runwriter` writes one, `runreader` reads one. All integers are little-endian; XXH is XXH3 with 64 bits.

Header, 48 bytes::

     0  8s   magic "MRRUN\\r\\n\\0"
     8  u16  version, 1
    10  u16  0
    12  u32  R, the number of partitions
    16  u64  job
    24  u64  epoch of the attempt
    32  u32  map index
    36  u32  attempt
    40  u64  XXH of bytes 0 to 40

Then, for each partition that has records, in ascending order, its blocks. A block is a header of 32 bytes::

     0  u32  stored bytes that follow this header
     4  u32  raw bytes: their length when expanded
     8  u32  groups (keys) in the block, at most 16 384
    12  u32  values in the block
    16  u32  flags: 1 stored bytes are one zstd frame; 2 the last key goes on in the next block
    20  u32  partition
    24  u64  XXH, seeded with the block's number within its partition, of bytes 0 to 24 and the stored bytes

and the stored bytes, raw or compressed. Raw::

     0  u32  bytes of the column of keys
     4  u32  bytes of the column of counts; 0 when every key has one value
     8       column of keys, ascending and distinct; column of counts; column of values (columns: see `values`)

Index, 48 bytes for each partition that has records::

     0  u32  partition
     4  u32  blocks
     8  u64  offset of its first block in the file
    16  u64  bytes of its blocks
    24  u64  groups; a key that goes on in further blocks counts once in each
    32  u64  values
    40  u64  logical digest: XXH over, for each block, u32 groups, u32 values, u32 flags & 2, u32 raw bytes, raw bytes

Trailer, 32 bytes, the end of the file::

     0  u64  offset of the index
     8  u32  partitions in the index
    12  u32  0
    16  u64  XXH of the index and of bytes 0 to 16
    24  8s   magic "MRRUNEND"

The digest of the run, which a commit logs, is XXH over partition (u32), groups, values and logical digest (u64) of
each entry of the index: the logical content only. A map that is made again has the same digest whatever its attempt,
epoch or compression, but only with the same memory budget: where blocks end, and how far floats are summed up in them,
depends on where it spilled. Header, sections, index and trailer fill the file without gaps, so some check covers every
byte.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from xxhash import xxh3_64_intdigest

MAGIC: Final = b"MRRUN\r\n\0"
END_MAGIC: Final = b"MRRUNEND"
VERSION: Final = 1

HEADER: Final = struct.Struct("<8sHHIQQII")
BLOCK: Final = struct.Struct("<IIIIII")
COLUMNS: Final = struct.Struct("<II")
LOGICAL_BLOCK: Final = struct.Struct("<IIII")
ENTRY: Final = struct.Struct("<IIQQQQQ")
LOGICAL_ENTRY: Final = struct.Struct("<IQQQ")
TRAILER: Final = struct.Struct("<QII")
CHECKSUM: Final = struct.Struct("<Q")

#: Errors that say something of the file itself: it is gone, or its disk does not give its bytes. Everything else (no
#: descriptor left, no permission, a stale handle) is the trouble of who wanted to read it.
LOST_ERRNOS: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO})

HEADER_BYTES: Final = HEADER.size + CHECKSUM.size
BLOCK_HEADER_BYTES: Final = BLOCK.size + CHECKSUM.size
TRAILER_BYTES: Final = TRAILER.size + CHECKSUM.size + len(END_MAGIC)
assert (HEADER_BYTES, BLOCK_HEADER_BYTES, ENTRY.size, TRAILER_BYTES) == (48, 32, 48, 32)

FLAG_ZSTD: Final = 1
FLAG_CONTINUES: Final = 2

BLOCK_GROUPS: Final = 16_384
"""Most groups in a block."""
BLOCK_FOOTPRINT_BYTES: Final = 2 << 20
"""Most memory (see `footprint`) of a block's keys and values, unless a single value needs more: about 1 MiB encoded."""
MAX_MEMBER_BYTES: Final = 64 << 20
"""Largest key or value. Encoding, compressing and decoding hold several copies, all within the budget."""
MAX_RAW_BYTES: Final = 1 << 30
"""No honest block expands to more."""


class RunHeader(msgspec.Struct, frozen=True):
    """Which attempt made a run; not part of its digest."""

    job: int
    index: int
    attempt: int
    epoch: int


class IndexEntry(msgspec.Struct, frozen=True):
    """Where a partition lies in the file, and what it holds."""

    partition: int
    blocks: int
    offset: int
    bytes: int
    groups: int
    values: int
    digest: int


def pack_header(header: RunHeader, partitions: int) -> bytes:
    """The file's first 48 bytes."""
    packed = HEADER.pack(MAGIC, VERSION, 0, partitions, header.job, header.epoch, header.index, header.attempt)
    return packed + CHECKSUM.pack(xxh3_64_intdigest(packed))


def unpack_header(data: bytes) -> tuple[RunHeader, int]:
    """The header and R. Raises `ValueError` with the problem."""
    if len(data) != HEADER_BYTES or CHECKSUM.unpack_from(data, HEADER.size)[0] != xxh3_64_intdigest(
        data[: HEADER.size]
    ):
        raise ValueError("its header is damaged")
    magic, version, zero, partitions, job, epoch, index, attempt = HEADER.unpack_from(data)
    if magic != MAGIC or zero:
        raise ValueError("it is no run file")
    if version != VERSION:
        raise ValueError(f"its format version is {version}, this release reads {VERSION}")
    return RunHeader(job, index, attempt, epoch), partitions


def pack_index(entries: Iterable[IndexEntry], offset: int) -> bytes:
    """The index and the trailer; `offset` is where they begin in the file."""
    packed = [
        ENTRY.pack(entry.partition, entry.blocks, entry.offset, entry.bytes, entry.groups, entry.values, entry.digest)
        for entry in entries
    ]
    body = b"".join(packed) + TRAILER.pack(offset, len(packed), 0)
    return body + CHECKSUM.pack(xxh3_64_intdigest(body)) + END_MAGIC


def unpack_trailer(data: bytes, size: int) -> tuple[int, int]:
    """`(offset of the index, number of its entries)` from the last 32 bytes. Raises `ValueError`."""
    if len(data) != TRAILER_BYTES or not data.endswith(END_MAGIC):
        raise ValueError("it is cut short")
    offset, count, zero = TRAILER.unpack_from(data)
    if zero or offset < HEADER_BYTES or offset + count * ENTRY.size + TRAILER_BYTES != size:
        raise ValueError("its trailer is damaged")
    return offset, count


def unpack_index(data: bytes, offset: int, partitions: int) -> list[IndexEntry]:
    """The entries, from the bytes of index and trailer. Raises `ValueError` unless they are whole and leave no gap."""
    body = data[: -CHECKSUM.size - len(END_MAGIC)]
    if CHECKSUM.unpack_from(data, len(body))[0] != xxh3_64_intdigest(body):
        raise ValueError("its index is damaged")
    entries = [IndexEntry(*fields) for fields in ENTRY.iter_unpack(body[: -TRAILER.size])]
    position, last = HEADER_BYTES, -1
    for entry in entries:
        if entry.offset != position or not last < entry.partition < partitions or not entry.blocks:
            raise ValueError("its index contradicts itself")
        position, last = position + entry.bytes, entry.partition
    if position != offset:
        raise ValueError("its index contradicts itself")
    return entries


def run_digest(entries: Iterable[IndexEntry]) -> int:
    """The digest over the logical content of the whole run."""
    packed = [LOGICAL_ENTRY.pack(entry.partition, entry.groups, entry.values, entry.digest) for entry in entries]
    return xxh3_64_intdigest(b"".join(packed))
