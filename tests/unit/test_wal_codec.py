"""The bytes of the log: fixed once and for all, and nothing damaged is ever taken for sound."""

from __future__ import annotations

from zlib import crc32

import pytest

from mapreduce.wal import codec
from mapreduce.wal.codec import DATA, Damage, FileHeader, Seal, UnknownVersion
from mapreduce.wal.scanning import Start, parse_start

HEADER = FileHeader(codec.SEGMENT_MAGIC, b"0123456789abcdef", b"saltsalt", epoch=7, number=3)


def test_the_bytes_of_a_header_are_those_of_the_documentation() -> None:
    packed = codec.pack_header(HEADER)
    assert packed.hex(" ", 8) == (
        "4d5257414c0d0a1a 0100000040000000 3031323334353637 3839616263646566 "
        "73616c7473616c74 0700000000000000 0300000000000000 00000000d5846f16"
    )


def test_the_bytes_of_a_record_are_those_of_the_documentation() -> None:
    record, checksum = codec.pack_record(DATA, b"hello", seed=HEADER.seed, previous=1, sequence=2, mark=1)
    assert record[:4] == checksum.to_bytes(4, "little")
    assert record[4:].hex() == "0500000001004d520100000002000000000000000100000000000000" + b"hello\0\0\0".hex()
    assert len(record) == codec.padded_bytes(5) == 40


def test_a_batch_has_the_bytes_of_its_single_records() -> None:
    bodies = [b"", b"a", b"12345678", b"x" * 100]
    batch, last = codec.pack_records(bodies, seed=9, previous=4, sequence=10, mark=8)
    single, checksum = b"", 4
    for sequence, body in enumerate(bodies, start=11):
        record, checksum = codec.pack_record(DATA, body, seed=9, previous=checksum, sequence=sequence, mark=8)
        single += record
    assert (batch, last) == (single, checksum)


def test_a_header_comes_back_as_it_was() -> None:
    assert codec.parse_header(codec.pack_header(HEADER), codec.SEGMENT_MAGIC) == HEADER


def test_every_flipped_bit_of_a_header_is_noticed() -> None:
    packed = codec.pack_header(HEADER)
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(codec.parse_header(bytes(damaged), codec.SEGMENT_MAGIC), Damage)


def test_a_cut_header_is_noticed() -> None:
    packed = codec.pack_header(HEADER)
    assert all(isinstance(codec.parse_header(packed[:n], codec.SEGMENT_MAGIC), Damage) for n in range(len(packed)))


def test_a_segment_is_not_taken_for_a_snapshot() -> None:
    assert isinstance(codec.parse_header(codec.pack_header(HEADER), codec.SNAPSHOT_MAGIC), Damage)


def test_a_later_major_version_is_recognised_even_with_a_longer_header() -> None:
    future = bytearray(codec.pack_header(HEADER)[:-4] + bytes(32))
    future[8:12] = b"\x02\x00\x05\x00"
    future[12:16] = (92).to_bytes(4, "little")
    future[-4:] = crc32(bytes(future[:88])).to_bytes(4, "little")
    assert codec.parse_header(bytes(future), codec.SEGMENT_MAGIC) == UnknownVersion(2, 5)


def test_a_seal_comes_back_as_it_was() -> None:
    seal = Seal(5, 6, valid_bytes=1000, sequence=44, checksum=0xDEADBEEF, carried_bytes=80, is_rebuild_pending=True)
    assert codec.parse_seal(codec.pack_seal(seal)) == seal
    assert isinstance(codec.parse_seal(b"short"), Damage)


def test_every_flipped_bit_of_a_segments_start_is_noticed() -> None:
    seal, checksum = Seal(2, 6, 400, 10, 77), codec.header_checksum(HEADER)
    record, _ = codec.pack_record(
        codec.SEAL, codec.pack_seal(seal), seed=HEADER.seed, previous=checksum, sequence=10, mark=10
    )
    start = codec.pack_header(HEADER) + record
    parsed = parse_start(start)
    assert isinstance(parsed, Start)
    assert (parsed.header, parsed.seal, parsed.sequence, parsed.end) == (HEADER, seal, 10, codec.START_BYTES)
    for bit in range(len(start) * 8):
        damaged = bytearray(start)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(parse_start(bytes(damaged)), Damage)


def test_a_snapshot_comes_back_as_it_was_and_every_flipped_bit_is_noticed() -> None:
    header = FileHeader(codec.SNAPSHOT_MAGIC, HEADER.store_id, HEADER.salt, epoch=7, number=1200)
    packed = codec.pack_snapshot(header, b"state")
    assert codec.parse_snapshot(packed) == (header, b"state")
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(codec.parse_snapshot(bytes(damaged)), Damage)
    assert all(isinstance(codec.parse_snapshot(packed[:n]), Damage) for n in range(len(packed)))
    assert isinstance(codec.parse_snapshot(packed + b"\0"), Damage)


def test_a_store_id_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="store id"):
        codec.pack_header(FileHeader(codec.SEGMENT_MAGIC, b"short", b"saltsalt", 1, 1))
