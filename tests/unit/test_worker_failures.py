"""Exceptions become failures that fit the protocol, whatever they contain."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mapreduce.errors import CorruptRun, InvalidUserCode, TaskFailed
from mapreduce.model import Code
from mapreduce.protocol.messages import AttemptId, Failure, LostRun
from mapreduce_worker.agent.executors import describe_exit
from mapreduce_worker.agent.serve import parse_range
from mapreduce_worker.executor.failures import failure, failure_of, in_users_names

RUN = AttemptId(job=1, kind="map", index=3, attempt=1, epoch=1)


def caught(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - so that it has a traceback
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TaskFailed("unstorable", "no", record="here"), "unstorable"),
        (TaskFailed("nonsense", "no"), "system"),
        (InvalidUserCode("no mapper"), "user"),
        (SystemExit(3), "user"),
        (KeyboardInterrupt(), "user"),
        (MemoryError(), "memory"),
        (OSError(28, "No space left on device"), "system"),
        (RuntimeError("a bug"), "system"),
    ],
)
def test_every_exception_has_a_class(error: BaseException, expected: str) -> None:
    assert failure_of(caught(error), {}).failure_class == expected


def test_an_unreadable_run_names_the_map_that_made_it() -> None:
    told = failure_of(caught(CorruptRun(RUN.stem, "is cut short.")), {RUN.stem: RUN})
    assert told.failure_class == "run-lost"
    assert told.lost_runs == (LostRun(map=RUN, problem="is cut short."),)


def test_texts_are_cut_to_what_the_protocol_allows_and_can_always_be_sent() -> None:
    bad = "\udcff" * 100_000
    told = failure("user", bad, trace=bad, record=bad)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Failure) == told


def test_of_a_long_traceback_the_end_is_kept() -> None:
    told = failure("user", "m", trace="x" * 100_000 + "the last frame")
    assert told.traceback.endswith("the last frame")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, "exit code 0"),
        (7, "exit code 7"),
        (-11, "SIGSEGV"),
        (-9, "SIGKILL"),
        (-1000, "signal 1000"),
    ],
)
def test_an_exit_is_told_in_words(code: int, expected: str) -> None:
    assert expected.lower() in describe_exit(code).lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (0, 100)),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-200", (90, 100)),
        ("bytes=100-", None),
        ("bytes=100-101", None),
        ("bytes=9-3", None),
        ("bytes=-5", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
    ],
)
def test_ranges_are_given_only_within_the_file(text: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(text, 100) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code(volume_path="/jobs/wc.py"), 'File "/jobs/wc.py", File "helper.py", File "job/else/wc.py"'),
        (Code(inline="..."), 'File "wc.py", File "helper.py", File "job/else/wc.py"'),
    ],
)
def test_files_of_the_user_are_called_as_the_user_calls_them(code: Code, expected: str) -> None:
    trace = 'File "/scratch/code/12ab/job/wc.py", File "/scratch/code/12ab/lib/helper.py", File "job/else/wc.py"'
    told = in_users_names(failure("user", trace, trace=trace), Path("/scratch/code/12ab"), code)
    assert (told.message, told.traceback) == (expected, expected)
