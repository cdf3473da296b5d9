"""What an executor prints: cut into attempts, kept within a cap; and the frames between agent and executor."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mapreduce.protocol.messages import AttemptId
from mapreduce_worker.agent.capture import HEAD_BYTES, TAIL_BYTES, CappedText, Capture
from mapreduce_worker.executor.messages import MAX_FRAME_BYTES, Frames, Withdraw, frame, mark

NONCE = b"0123456789abcdef"


@pytest.fixture
def pipe() -> Iterator[tuple[Capture, int]]:
    read_end, write_end = os.pipe()
    capture = Capture(read_end, NONCE)
    yield capture, write_end
    capture.close()
    os.close(write_end)


def test_output_between_two_marks_belongs_to_the_first(pipe: tuple[Capture, int]) -> None:
    capture, write_end = pipe
    os.write(write_end, b"early" + mark(NONCE, 1) + b"one" + mark(NONCE, 2) + b"two")
    capture.look()
    assert capture.current == 2
    assert [capture.take(number) for number in (0, 1, 2, 3)] == [b"early", b"one", b"two", b""]


def test_a_mark_that_arrives_in_pieces_is_still_a_mark(pipe: tuple[Capture, int]) -> None:
    capture, write_end = pipe
    for byte in b"a" + mark(NONCE, 1) + b"b0123" + mark(NONCE, 2) + b"c":
        os.write(write_end, bytes([byte]))
        capture.look()
    assert [capture.take(number) for number in (0, 1, 2)] == [b"a", b"b0123", b"c"]


def test_what_looks_like_the_beginning_of_a_mark_is_output_after_all(pipe: tuple[Capture, int]) -> None:
    capture, write_end = pipe
    os.write(write_end, mark(NONCE, 1) + b"x" + NONCE[:7])
    capture.look()
    assert capture.take(1) == b"x" + NONCE[:7]


def test_looking_for_one_attempt_stops_when_a_later_one_has_begun(pipe: tuple[Capture, int]) -> None:
    capture, write_end = pipe
    os.write(write_end, mark(NONCE, 1) + b"one" + mark(NONCE, 2))
    capture.look(until_after=1)
    assert capture.current == 2
    os.write(write_end, b"two")
    capture.look(until_after=1)
    assert capture.take(2) == b""


@pytest.mark.parametrize("piece", [1_000, 10_000, 1_000_000])
def test_of_a_flood_the_beginning_and_the_end_are_kept_and_the_rest_is_counted(piece: int) -> None:
    text = CappedText()
    data = b"".join(b"%09d\n" % index for index in range(100_000))
    for start in range(0, len(data), piece):
        text.add(data[start : start + piece])
    kept = text.text()
    assert kept.startswith(data[:HEAD_BYTES])
    assert kept.endswith(data[-TAIL_BYTES:])
    assert f"[... {len(data) - HEAD_BYTES - TAIL_BYTES} bytes".encode() in kept
    assert len(kept) < HEAD_BYTES + TAIL_BYTES + 100


def test_short_output_is_kept_as_it_is() -> None:
    text = CappedText()
    text.add(b"a" * HEAD_BYTES)
    text.add(b"b" * TAIL_BYTES)
    assert text.text() == b"a" * HEAD_BYTES + b"b" * TAIL_BYTES


def test_frames_are_found_however_the_stream_is_cut() -> None:
    stream = frame(Withdraw(numbers=(1, 2))) + frame(Withdraw(numbers=())) + frame(Withdraw(numbers=(3,)))
    whole = Frames().feed(stream)
    assert len(whole) == 3
    cut = Frames()
    assert [body for byte in stream for body in cut.feed(bytes([byte]))] == whole


def test_a_frame_longer_than_any_message_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        Frames().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))


def test_the_stem_of_an_attempt_names_its_files() -> None:
    attempt = AttemptId(job=1, kind="map", index=3, attempt=2, epoch=4)
    assert attempt.stem == "map-00003.e4.a2"
