"""What the page is told of a job: columns, frames, slots, traces."""

from __future__ import annotations

import json
from array import array
from typing import Any

import msgspec
import pytest

from mapreduce.page.columns import ended_columns, timeline_page
from mapreduce.page.durations import Durations
from mapreduce.page.frames import Seen, delta_frame, state_frame
from mapreduce.page.lanes import boxes_of
from mapreduce.page.messages import Frame, TimelinePage
from mapreduce.page.trace import chrome_trace
from mapreduce.page.view import make_view
from mapreduce.scheduling.attemptlog import AttemptEnd
from tests.support.longjobs import BEGUN_AT, LongJob, state_of

JOB = LongJob(maps=60, reduces=4, workers=3, slots=2, failing_every=20)


def seen(**fields: Any) -> Seen:
    usual: dict[str, Any] = {"sequence": 9, "now_at": BEGUN_AT + 5, "durations": {}, "source": "out"}
    return Seen(**(usual | fields))


def numbers(code: str, column: bytes) -> list[Any]:
    found = array(code)
    found.frombytes(column)
    return list(found)


def test_pages_of_columns_together_tell_every_attempt_and_every_output() -> None:
    _, job = state_of(JOB)
    rows: list[int] = []
    sizes: list[int] = []
    start: int | None = 0
    while start is not None:
        page = timeline_page(job, start, 25)
        assert page.rows == len(job.attempts.kind)
        assert page.attempts.first == start
        rows += numbers("I", page.attempts.index)
        sizes += numbers("Q", page.maps.sizes)
        start = page.next
    assert rows == list(job.attempts.index)
    assert sizes == list(job.maps.out_bytes)


def test_a_page_survives_the_wire() -> None:
    _, job = state_of(JOB)
    page = timeline_page(job, 0, 1_000)
    assert msgspec.json.decode(msgspec.json.encode(page), type=TimelinePage) == page
    assert page.next is None


def test_what_ended_is_told_with_what_it_committed() -> None:
    _, job = state_of(JOB)
    failed = list(job.attempts.end).index(AttemptEnd.FAILED)
    told = ended_columns(job, [failed, 0])
    assert numbers("I", told.row) == [failed, 0]
    assert numbers("B", told.end) == [AttemptEnd.FAILED, AttemptEnd.COMMITTED]
    assert numbers("Q", told.sizes) == [0, job.maps.out_bytes[0]]
    assert numbers("f", told.run_s) == pytest.approx([job.attempts.run_s[failed], job.attempts.run_s[0]])


def test_an_attempt_that_ends_is_noted_only_while_somebody_follows() -> None:
    _, job = state_of(JOB, limit=30)
    row = job.attempts.begin("map", 50, 1, 1, BEGUN_AT)
    job.attempts.finish(row, AttemptEnd.COMMITTED, BEGUN_AT + 1, 0.5)
    assert job.attempts.ended is None
    job.attempts.ended = []
    job.attempts.finish(row, AttemptEnd.COMMITTED, BEGUN_AT + 1, 0.5)
    assert job.attempts.ended == [row]


def test_the_first_frame_tells_everything_but_the_columns() -> None:
    state, job = state_of(JOB)
    frame = state_frame(state, job, seen())
    assert (frame.type, frame.rows, frame.sequence) == ("State", len(job.attempts.kind), 9)
    assert frame.status.failures == ()
    assert frame.failures is not None
    assert [(group.count, group.failure_class) for group in frame.failures] == [(3, "user")]
    assert frame.partition_bytes == job.partition_bytes
    assert frame.workers is not None
    assert [(worker.name, worker.slots) for worker in frame.workers] == [(JOB.worker(n), 2) for n in range(3)]
    assert frame.spec is not None
    assert "kind: MapReduceJob" in frame.spec
    assert msgspec.json.decode(msgspec.json.encode(frame), type=Frame) == frame


def test_workers_are_told_with_what_was_heard_of_them() -> None:
    state, job = state_of(JOB)
    heard = seen(silent_s={JOB.worker(1): 2.04}, memory_bytes={JOB.worker(1): 5 << 20})
    workers = state_frame(state, job, heard).workers
    assert workers is not None
    assert [(worker.silent_s, worker.memory_bytes) for worker in workers] == [(0.0, 0), (2.0, 5 << 20), (0.0, 0)]


def test_a_later_frame_is_small() -> None:
    state, job = state_of(LongJob(maps=5_000, reduces=200))
    assert len(msgspec.json.encode(delta_frame(state, job, seen()))) < 2_000


def test_a_worker_that_has_left_is_still_shown_with_its_slots() -> None:
    state, job = state_of(JOB)
    gone = state.workers.pop(JOB.worker(1))
    frame = state_frame(state, job, seen())
    assert frame.workers is not None
    shown = next(worker for worker in frame.workers if worker.number == gone.number)
    assert (shown.name, shown.slots, shown.is_here) == (gone.name, 2, False)
    assert shown.step_s["map"] > 0


def test_an_old_lease_is_no_headline_while_other_tasks_are_left() -> None:
    state, job = state_of(JOB, limit=10 + 2 * 55)
    durations = Durations()
    durations.learn(job.attempts, range(len(job.attempts.kind)))
    last = [index for index in range(60) if index not in job.maps.leases and not job.maps.was_committed(index)]
    assert last, "some maps are still to be granted"
    quiet = delta_frame(state, job, seen(now_at=BEGUN_AT + 900, durations=durations.quantiles()))
    assert quiet.head.severity == "info"  # there is other work left, so nothing waits for one task


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_attempts_of_one_slot_never_overlap(slots: int) -> None:
    _, job = state_of(LongJob(maps=200, workers=3, slots=slots))
    boxes = boxes_of(job.attempts, dict.fromkeys(range(1, 4), slots), BEGUN_AT + 1_000)
    assert sorted(box.row for box in boxes) == list(range(len(job.attempts.kind)))
    last: dict[tuple[int, int], float] = {}
    for box in sorted(boxes, key=lambda box: box.end_at):
        lane = (job.attempts.worker[box.row], box.lane)
        assert 0 <= box.lane < slots
        assert box.start_at >= last.get(lane, 0.0)
        assert box.start_at <= box.end_at
        last[lane] = box.end_at


def test_attempts_are_as_long_as_their_worker_says_where_clocks_agree() -> None:
    _, job = state_of(LongJob(maps=200, workers=3, slots=2))
    for box in boxes_of(job.attempts, {1: 2, 2: 2, 3: 2}, BEGUN_AT + 1_000):
        assert box.end_at - box.start_at == pytest.approx(job.attempts.run_s[box.row], abs=1e-3)


def test_attempts_that_were_handed_in_together_lie_one_behind_the_other() -> None:
    _, job = state_of(LongJob(maps=4, reduces=1, workers=1, slots=1), limit=5)
    log = job.attempts
    for index in range(3):
        row = log.begin("map", index, 1, 1, BEGUN_AT)
        log.finish(row, AttemptEnd.COMMITTED, BEGUN_AT + 3, 1.0)
    found = [(box.start_at - BEGUN_AT, box.end_at - BEGUN_AT) for box in boxes_of(log, {1: 1}, BEGUN_AT + 9)]
    assert found == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


def test_what_waits_in_a_worker_has_no_box() -> None:
    _, job = state_of(LongJob(maps=4, reduces=1, workers=1, slots=1), limit=5)
    for index in range(3):
        job.attempts.begin("map", index, 1, 1, BEGUN_AT)
    assert [box.row for box in boxes_of(job.attempts, {1: 1}, BEGUN_AT + 9)] == [0]


def test_a_trace_has_a_process_for_each_worker_a_thread_for_each_slot_and_nested_events() -> None:
    state, job = state_of(JOB)
    names, slots = state.worker_names, state.worker_slots
    trace = json.loads(chrome_trace(job.attempts, names, slots, title="long", now_at=BEGUN_AT + 99))
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(events) == len(job.attempts.kind)
    processes = {event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "process_name"}
    assert processes == set(names.values())
    assert {event["tid"] for event in events} == {1, 2}
    assert min(event["ts"] for event in events) == 0
    assert sum("failed" in event["cat"] for event in events) == 3
    assert all(event["dur"] >= 0 for event in events)
    ended: dict[tuple[int, int], int] = {}
    for event in sorted(events, key=lambda event: event["ts"]):
        place = (event["pid"], event["tid"])
        assert event["ts"] >= ended.get(place, 0) - 1  # whole microseconds
        ended[place] = event["ts"] + event["dur"]


def test_a_view_gives_its_attempts_back() -> None:
    state, job = state_of(JOB)
    view = make_view(state, job, sequence=1, source="out", made_at=0.0)
    assert view.attempts() == job.attempts
    assert view.trace() == chrome_trace(
        job.attempts, state.worker_names, state.worker_slots, title="long", now_at=view.frame.at
    )


def test_durations_know_the_longest_however_many_came_after_it() -> None:
    _, job = state_of(LongJob(maps=5_000, reduces=1, workers=8, is_skewed=False))
    job.attempts.run_s[3] = 77.0
    durations = Durations()
    durations.learn(job.attempts, range(len(job.attempts.kind)))
    found = durations.quantiles()["map"]
    assert (found.count, found.most) == (5_000, 77.0)


def test_a_pod_shows_places_as_the_author_wrote_them_and_not_where_they_are_mounted() -> None:
    state, job = state_of(JOB)
    note = job.failures[-1]
    failure = msgspec.structs.replace(note.failure, record="/mr/claims/books/a.txt, byte 5: 'x'")
    job.failures[-1] = msgspec.structs.replace(note, failure=failure)
    frame = state_frame(state, job, seen(shown_root="/mr"))
    assert frame.failures is not None
    assert frame.failures[0].newest.failure.record.startswith("pvc://books/a.txt, byte 5")
