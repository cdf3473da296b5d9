"""Whatever is logged, and whatever a crash leaves of it: a prefix comes back, with everything that was acknowledged."""

from __future__ import annotations

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.wal import codec
from mapreduce.wal.codec import FileHeader, Seal
from mapreduce.wal.scanning import Finding, Start, parse_start, scan_open, scan_sealed
from tests.support.faultyfiles import Disk
from tests.support.wallogs import FOLDER, Story, open_log

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)


@given(
    st.builds(
        FileHeader,
        st.just(codec.SEGMENT_MAGIC),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=8, max_size=8),
        U64,
        U64,
        st.integers(0, 2**16 - 1),
    )
)
def test_every_header_comes_back_as_it_was(header: FileHeader) -> None:
    assert codec.parse_header(codec.pack_header(header), codec.SEGMENT_MAGIC) == header


@given(st.builds(Seal, U64, U64, U64, U64, U32, U64, st.booleans()))
def test_every_seal_comes_back_as_it_was(seal: Seal) -> None:
    assert codec.parse_seal(codec.pack_seal(seal)) == seal


def make_segment(bodies: list[bytes], base: int, mark: int) -> tuple[bytes, Start]:
    header = FileHeader(codec.SEGMENT_MAGIC, bytes(16), b"saltsalt", 3, 1)
    record, checksum = codec.pack_record(
        codec.SEAL,
        codec.pack_seal(Seal()),
        seed=header.seed,
        previous=codec.header_checksum(header),
        sequence=base,
        mark=base,
    )
    start = codec.pack_header(header) + record
    parsed = parse_start(start)
    assert isinstance(parsed, Start)
    records, _ = codec.pack_records(bodies, seed=header.seed, previous=checksum, sequence=base, mark=mark)
    return start + records, parsed


BODIES = st.lists(st.binary(max_size=60), max_size=20)


@given(BODIES, st.integers(0, 2**40))
def test_all_records_come_back_in_order_whatever_their_bytes(bodies: list[bytes], base: int) -> None:
    data, start = make_segment(bodies, base, base)
    scan = scan_open(data, start)
    assert scan.finding is Finding.CLEAN
    assert list(scan.records()) == list(enumerate(bodies, start=base + 1))
    assert list(scan.records(after=base + 2)) == list(enumerate(bodies, start=base + 1))[2:]
    sealed = scan_sealed(data + b"behind the seal", start, scan.end.offset, scan.end.checksum)
    assert (sealed.finding, list(sealed.records())) == (Finding.CLEAN, list(scan.records()))


@given(BODIES, st.data())
def test_no_damage_makes_up_a_record(bodies: list[bytes], data: st.DataObject) -> None:
    segment, start = make_segment(bodies, 0, 0)
    at = data.draw(st.integers(codec.START_BYTES, len(segment)))
    damage = data.draw(st.binary(max_size=80))
    damaged = segment[:at] + damage + segment[at + data.draw(st.integers(0, 80)) :]
    found = [body for _, body in scan_open(damaged, start).records()]
    assert found == bodies[: len(found)]


Step = Literal["enqueue", "flush", "mark", "snapshot", "restart", "cut the power"]
STEPS = st.lists(
    st.sampled_from(["enqueue", "enqueue", "flush", "flush", "mark", "snapshot", "restart", "cut the power"]),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(0, 2**32), st.booleans())
def test_any_life_with_restarts_and_power_cuts_keeps_what_was_acknowledged(
    steps: list[Step], seed: int, is_idle_between: bool
) -> None:
    disk, story = Disk(), Story()
    log, recovery = open_log(disk)
    story.resume(recovery)
    for index, step in enumerate([*steps, "cut the power"]):
        match step:
            case "enqueue":
                story.enqueue(log)
            case "flush":
                story.flush(log)
            case "mark":
                log.mark()
            case "snapshot":
                if story.enqueued:
                    story.snapshot(log)
            case _:
                if step == "cut the power":
                    disk = disk.crash(seed + index)
                    disk.folders.add(FOLDER)
                log, recovery = open_log(disk)
                story.resume(recovery)
        if is_idle_between and log.durable_sequence == log.sequence:
            log.mark()
