"""Failed attempts by what went wrong."""

from __future__ import annotations

from mapreduce.diagnosis.failuregroups import group_failures
from mapreduce.protocol.messages import AttemptId, Failure, FailureClass, FailureSample

FRAME = 'Traceback (most recent call last):\n  File "job.py", line {line}, in mapper\n'


def failed(
    index: int, message: str, *, at: float = 0.0, line: int = 3, failure_class: FailureClass = "user", attempt: int = 1
) -> FailureSample:
    return FailureSample(
        id=AttemptId(job=1, kind="map", index=index, attempt=attempt, epoch=1),
        failure=Failure(failure_class=failure_class, message=message, traceback=FRAME.format(line=line)),
        at=at,
        worker="a",
    )


def test_one_cause_is_one_group_whatever_the_value_was() -> None:
    found = group_failures(
        [failed(1, "ValueError: bad literal: 'x'", at=1.0), failed(2, "ValueError: bad literal: 'y 17'", at=2.0)]
    )
    assert [(group.count, group.tasks, group.first_at, group.last_at) for group in found] == [
        (2, ("map-1", "map-2"), 1.0, 2.0)
    ]
    assert found[0].title == "ValueError: bad literal: 'y 17'"
    assert found[0].newest.id.index == 2


def test_another_line_class_or_message_is_another_cause() -> None:
    samples = [
        failed(1, "ValueError: no"),
        failed(2, "ValueError: no", line=9),
        failed(3, "KeyError: no"),
        failed(4, "ValueError: no", failure_class="timeout"),
    ]
    assert len(group_failures(samples)) == 4


def test_the_most_frequent_cause_comes_first_then_the_latest() -> None:
    samples = [
        failed(1, "rare", at=9.0),
        failed(2, "often", at=1.0),
        failed(3, "often", at=2.0),
        failed(4, "old", at=3.0),
    ]
    assert [group.title for group in group_failures(samples)] == ["often", "rare", "old"]


def test_attempts_of_one_task_name_it_once() -> None:
    samples = [failed(7, "no", attempt=number) for number in (1, 2, 3)]
    [group] = group_failures(samples)
    assert (group.count, group.tasks) == (3, ("map-7",))


def test_a_title_is_one_line_and_not_too_long() -> None:
    [group] = group_failures([failed(1, "x" * 500 + "\nsecond line")])
    assert len(group.title) < 200
    assert "\n" not in group.title
