from __future__ import annotations

import pytest

from mapreduce.errors import InvalidRequest
from mapreduce.protocol.messages import Commit, NextReply, NextRequest, SubmitRequest, TaskOutput
from mapreduce.protocol.singlesteps import CommitRequest, FailRequest, GetTaskRequest, ReleaseRequest
from mapreduce.protocol.wire import Decoder, convert, encode
from tests.support.examplecalls import FAILURE, ID, OUTPUT, SPEAKER
from tests.support.fakeservice import ATTEMPT

NEXT = Decoder(NextRequest)


def test_a_message_is_the_same_after_the_wire() -> None:
    commit = Commit(id=ATTEMPT, output=TaskOutput(bytes=3, digest=(1 << 64) - 1, counters={"a": -1}), run_s=1.5)
    request = NextRequest(epoch=1, worker="w", call=1, finished=(commit,), want=2, wait_s=0.5)
    assert NEXT.decode(encode(request)) == request


def test_defaults_are_left_out() -> None:
    assert encode(NextReply(epoch=1)) == b'{"epoch":1}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"worker":"w","call":1}', "epoch: is missing"),
        (b'{"epoch":"1","worker":"w","call":1}', "epoch: Expected `int`, got `str`"),
        (
            b'{"epoch":1,"worker":"w","call":1,"finished":[{"type":"release","id":{}}]}',
            "finished[0].id.job: is missing",
        ),
        (b"?", "The body is not JSON: JSON is malformed: invalid character (byte 0)"),
    ],
)
def test_an_error_names_the_field(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        NEXT.decode(body)
    assert str(caught.value) == message


def test_a_misspelt_field_of_a_job_is_named() -> None:
    body = b'{"name":"n","code":"%b","spec":{"mappper":"x"}}' % (b"0" * 64)
    with pytest.raises(InvalidRequest, match=r"^spec: .*unknown field `mappper`"):
        Decoder(SubmitRequest).decode(body)


def test_an_error_does_not_repeat_a_long_value() -> None:
    body = b'{"epoch":1,"worker":"w","call":1,"finished":[{"type":"%b"}]}' % (b"x" * 100_000)
    with pytest.raises(InvalidRequest) as caught:
        NEXT.decode(body)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**40])
def test_an_integer_beyond_64_bits_is_named(number: int) -> None:
    body = b'{"epoch":1,"worker":"w","call":1,"finished":[{"type":"commit","id":%b,"output":{"counters":{"a b":%d}}}]}'
    with pytest.raises(InvalidRequest, match=r"^finished\[0\]\.output\.counters\.a b: .* beyond 64 bits"):
        NEXT.decode(body % (encode(ATTEMPT), number))


def test_parameters_are_texts_that_become_numbers() -> None:
    parameters = convert({"epoch": "1", "worker": "w", "call": "7", "wait_s": "0.5", "other": "x"}, GetTaskRequest)
    assert parameters == GetTaskRequest(epoch=1, worker="w", call=7, wait_s=0.5)


def test_a_parameter_that_is_no_text_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        convert({"epoch": "1", "worker": "w", "call": "7", "wait_s": "\udcff"}, GetTaskRequest)


def test_single_steps_are_parts_of_next() -> None:
    speaker = {**SPEAKER, "call": 4}
    got = Decoder(GetTaskRequest).decode(encode({**speaker, "wait_s": 2})).as_next()
    assert (got.want, got.wait_s, got.finished) == (1, 2.0, ())
    steps = {
        "commit": Decoder(CommitRequest).decode(encode({**speaker, "id": ID, "output": OUTPUT})).as_next(),
        "fail": Decoder(FailRequest).decode(encode({**speaker, "id": ID, "failure": FAILURE})).as_next(),
        "release": Decoder(ReleaseRequest).decode(encode({**speaker, "id": ID, "was_started": True})).as_next(),
    }
    for name, step in steps.items():
        assert (step.epoch, step.worker, step.call, step.want, len(step.finished)) == (1, "worker-a", 4, 0, 1)
        assert encode(step.finished[0]).startswith(b'{"type":"%b"' % name.encode())
