"""The bytes of the log: packing and parsing of headers, records and seals. Pure; all numbers are little-endian.

What a sequence of records means (torn, hole, rot) is `scanning`; files and their names are `segments` and `names`.

Every file (segment or snapshot) starts with one header of 64 bytes:

    offset size
         0    8  magic: "MRWAL" or "MRSNP", then CR LF SUB (damaged by any transfer in text mode)
         8    2  major version of the format: a reader refuses one it does not know
        10    2  minor version: a reader may go on, unknown record types with the skippable bit are stepped over
        12    4  length of this header
        16   16  store id: which coordinator's log this is
        32    8  salt, random for each file
        40    8  epoch of the incarnation that wrote the file
        48    8  segment: its number; snapshot: the sequence of the last record it contains
        56    4  zero
        60    4  CRC-32 of bytes 0 to 59
    The first 16 bytes and the place of the CRC (last four bytes of the header) are the same in every future version,
    and no header will be longer than 128 bytes.

A record is a header of 32 bytes, a body, and zeros up to a multiple of 8, so that a reader can find records again
behind a hole:

         0    4  CRC-32 of all that follows (header, body, zeros), started from the file's seed = CRC-32(salt, epoch)
         4    4  length of the body
         8    1  type; bit 7 set: may be stepped over by a reader that does not know it
         9    1  zero
        10    2  tag "MR"
        12    4  the previous record's CRC; for the first record that of the file header
        16    8  sequence; only records of type DATA take a new one, the others repeat the last
        24    8  durable mark: the highest sequence known to be on the disk when this record was written

Types: 1 DATA, 2 MARK (no body), 3 SEAL (the first record of every segment and nowhere else), 4 STATE (the only record
of a snapshot). The CRC is not rolling: records behind a hole can still be judged. The seed makes left-over records of
other files invalid by construction, because CRC-32 with another start never gives the same result for the same bytes.

Body of a SEAL (48 bytes); the record's own sequence is the last one before this segment:

         0    8  number of the sealed predecessor, 0 when there is none
         8    8  its epoch
        16    8  its valid length; whatever is appended behind it later is outside the log
        24    8  sequence of its last valid record
        32    4  CRC of its last valid record
        36    4  flags; bit 0: rot was found before this segment and a rebuild is pending
        40    8  length of the records behind this SEAL that were carried over and synced together with it
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec

MAJOR: Final = 1
MINOR: Final = 0

SEGMENT_MAGIC: Final = b"MRWAL\r\n\x1a"
SNAPSHOT_MAGIC: Final = b"MRSNP\r\n\x1a"

DATA: Final = 1
MARK: Final = 2
SEAL: Final = 3
STATE: Final = 4
SKIPPABLE: Final = 0x80

REBUILD_PENDING: Final = 1

HEADER_BYTES: Final = 64
HEADER_BYTES_MAX: Final = 128
RECORD_BYTES: Final = 32
ALIGNMENT: Final = 8
BODY_BYTES_MAX: Final = 0xFFFF_FFF0
STORE_ID_BYTES: Final = 16
SALT_BYTES: Final = 8

TAG: Final = int.from_bytes(b"MR", "little")
TAG_OFFSET: Final = 10

_HEADER = struct.Struct("<8sHHI16s8sQQI")
_CHECKSUM = struct.Struct("<I")
_RECORD = struct.Struct("<IIBBHIQQ")
_RECORD_REST = struct.Struct("<IBBHIQQ")
_SEAL = struct.Struct("<QQQQIIQ")
_PADDING = tuple(bytes(-length % ALIGNMENT) for length in range(ALIGNMENT))

assert _HEADER.size + _CHECKSUM.size == HEADER_BYTES
assert _RECORD.size == _CHECKSUM.size + _RECORD_REST.size == RECORD_BYTES
assert RECORD_BYTES % ALIGNMENT == HEADER_BYTES % ALIGNMENT == _SEAL.size % ALIGNMENT == 0

#: What a segment has before its carried records: header and SEAL.
START_BYTES: Final = HEADER_BYTES + RECORD_BYTES + _SEAL.size
assert HEADER_BYTES_MAX <= START_BYTES == 144

#: (checksum, body length, type, zero, tag, previous checksum, sequence, durable mark) at an offset of a buffer.
unpack_record_from = _RECORD.unpack_from


class FileHeader(msgspec.Struct, frozen=True):
    """First 64 bytes of a segment or snapshot; `number` is a segment's number or a snapshot's sequence."""

    magic: bytes
    store_id: bytes
    salt: bytes
    epoch: int
    number: int
    minor: int = MINOR

    @property
    def seed(self) -> int:
        """Start value of every record checksum in this file."""
        return crc32(self.salt + self.epoch.to_bytes(8, "little"))


class UnknownVersion(msgspec.Struct, frozen=True):
    """An intact header of a major version that this release cannot read."""

    major: int
    minor: int


class Damage(msgspec.Struct, frozen=True):
    """Bytes that are not what they should be, in words that fit behind "file, offset N: "."""

    problem: str


class Seal(msgspec.Struct, frozen=True):
    """What a segment says of its predecessor; `predecessor_number` 0 means that it has none."""

    predecessor_number: int = 0
    predecessor_epoch: int = 0
    valid_bytes: int = 0
    sequence: int = 0
    checksum: int = 0
    carried_bytes: int = 0
    is_rebuild_pending: bool = False


def pack_header(header: FileHeader) -> bytes:
    """Return the 64 bytes of a file header of this release's version."""
    if len(header.store_id) != STORE_ID_BYTES or len(header.salt) != SALT_BYTES:
        raise ValueError(f"a store id has {STORE_ID_BYTES} bytes and a salt {SALT_BYTES}")
    packed = _HEADER.pack(
        header.magic, MAJOR, header.minor, HEADER_BYTES, header.store_id, header.salt, header.epoch, header.number, 0
    )
    return packed + _CHECKSUM.pack(crc32(packed))


def header_checksum(header: FileHeader) -> int:
    """Return the checksum that ends a header: the back link of the file's first record."""
    return int.from_bytes(pack_header(header)[-_CHECKSUM.size :], "little")


def parse_header(data: bytes, magic: bytes) -> FileHeader | UnknownVersion | Damage:
    """Parse the first bytes of a file that should start with `magic`."""
    if len(data) < HEADER_BYTES:
        return Damage(f"the file header is cut: {len(data)} of {HEADER_BYTES} bytes.")
    found, major, minor, length, store_id, salt, epoch, number, _ = _HEADER.unpack_from(data)
    if found != magic:
        return Damage(f"the file starts with {found!r} instead of {magic!r}.")
    if not HEADER_BYTES <= length <= min(len(data), HEADER_BYTES_MAX):
        return Damage(f"the file header claims a length of {length} bytes.")
    (checksum,) = _CHECKSUM.unpack_from(data, length - _CHECKSUM.size)
    if crc32(data[: length - _CHECKSUM.size]) != checksum:
        return Damage("the file header's checksum does not match.")
    if major != MAJOR or length != HEADER_BYTES:
        return UnknownVersion(major, minor)
    return FileHeader(magic=magic, store_id=store_id, salt=salt, epoch=epoch, number=number, minor=minor)


def padded_bytes(body_bytes: int) -> int:
    """Return how many bytes a record with a body of `body_bytes` takes in a file."""
    return RECORD_BYTES + body_bytes + (-body_bytes % ALIGNMENT)


def pack_record(kind: int, body: bytes, *, seed: int, previous: int, sequence: int, mark: int) -> tuple[bytes, int]:
    """Return one record and its checksum, which is the next record's back link."""
    rest = _RECORD_REST.pack(len(body), kind, 0, TAG, previous, sequence, mark)
    padded = body + _PADDING[len(body) % ALIGNMENT]
    checksum = crc32(padded, crc32(rest, seed))
    return b"".join((_CHECKSUM.pack(checksum), rest, padded)), checksum


def pack_records(bodies: Sequence[bytes], *, seed: int, previous: int, sequence: int, mark: int) -> tuple[bytes, int]:
    """Return consecutive DATA records, the first with `sequence` + 1, and the last one's checksum."""
    chunks: list[bytes] = []
    add, pack_rest, pack_checksum, padding = chunks.append, _RECORD_REST.pack, _CHECKSUM.pack, _PADDING
    for body in bodies:
        sequence += 1
        length = len(body)
        rest = pack_rest(length, DATA, 0, TAG, previous, sequence, mark)
        padded = body + padding[length % ALIGNMENT]
        previous = crc32(padded, crc32(rest, seed))
        add(pack_checksum(previous))
        add(rest)
        add(padded)
    return b"".join(chunks), previous


def pack_seal(seal: Seal) -> bytes:
    """Return the body of a SEAL record."""
    return _SEAL.pack(
        seal.predecessor_number,
        seal.predecessor_epoch,
        seal.valid_bytes,
        seal.sequence,
        seal.checksum,
        REBUILD_PENDING if seal.is_rebuild_pending else 0,
        seal.carried_bytes,
    )


def parse_seal(body: bytes) -> Seal | Damage:
    """Parse the body of a SEAL record whose checksum was right."""
    if len(body) != _SEAL.size:
        return Damage(f"a seal of {len(body)} bytes instead of {_SEAL.size}.")
    number, epoch, valid_bytes, sequence, checksum, flags, carried_bytes = _SEAL.unpack(body)
    return Seal(
        predecessor_number=number,
        predecessor_epoch=epoch,
        valid_bytes=valid_bytes,
        sequence=sequence,
        checksum=checksum,
        carried_bytes=carried_bytes,
        is_rebuild_pending=bool(flags & REBUILD_PENDING),
    )


def pack_snapshot(header: FileHeader, state: bytes) -> bytes:
    """Return a whole snapshot file: header and one STATE record."""
    if len(state) > BODY_BYTES_MAX:
        raise ValueError(f"a state of {len(state)} bytes does not fit into a snapshot ({BODY_BYTES_MAX} at most)")
    sequence = header.number
    record, _ = pack_record(
        STATE, state, seed=header.seed, previous=header_checksum(header), sequence=sequence, mark=sequence
    )
    return pack_header(header) + record


def parse_snapshot(data: bytes) -> tuple[FileHeader, bytes] | UnknownVersion | Damage:
    """Return header and state of a snapshot file."""
    header = parse_header(data, SNAPSHOT_MAGIC)
    if not isinstance(header, FileHeader):
        return header
    if len(data) < HEADER_BYTES + RECORD_BYTES:
        return Damage("the snapshot is cut.")
    checksum, length, kind, _, tag, previous, sequence, _ = unpack_record_from(data, HEADER_BYTES)
    if tag != TAG or HEADER_BYTES + padded_bytes(length) != len(data):
        return Damage("the snapshot's length is not what its record says.")
    if crc32(memoryview(data)[HEADER_BYTES + _CHECKSUM.size :], header.seed) != checksum:
        return Damage("the snapshot's checksum does not match.")
    if kind != STATE or previous != header_checksum(header) or sequence != header.number:
        return Damage("the snapshot's record belongs to another file.")
    start = HEADER_BYTES + RECORD_BYTES
    return header, data[start : start + length]
