"""W12: two incarnations at once. The older one, stopped anywhere and resumed, gets no flush acknowledged any more."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import pytest

from mapreduce.errors import Fenced, StorageFailed
from mapreduce.wal.log import Log
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.interleaving import SteppedProgram
from tests.support.wallogs import Story, encode_state, history_of, open_files, open_log


@dataclass(slots=True)
class Contest:
    """One disk, two programs that open the log on it and serve, and what each of them was told, in order."""

    disk: Disk
    acknowledged: list[bytes] = field(default_factory=list)
    opened_epoch: int = 0

    def serve(self, files: FaultyFiles, name: bytes) -> None:
        """Open the log, acknowledge two records, a snapshot and one more record."""
        log, recovery = open_files(files)
        assert recovery.rot is None
        self.opened_epoch = max(self.opened_epoch, log.epoch)
        history = history_of(recovery)
        for index in range(2):
            history.append(b"%s-%d" % (name, index))
            log.enqueue(history[-1])
            log.flush()
            self.acknowledge(log, history[-1])
        log.snapshot(encode_state(history), len(history))
        log.enqueue(name + b"-last")
        log.flush()
        self.acknowledge(log, name + b"-last")

    def acknowledge(self, log: Log, payload: bytes) -> None:
        assert log.epoch == self.opened_epoch, "a zombie was answered after its successor had sealed the log"
        self.acknowledged.append(payload)

    def check(self, *programs: SteppedProgram) -> None:
        """All ended decently, and what anyone acknowledged is in the one history, on the disk, in that order."""
        for program in programs:
            assert program.error is None or isinstance(program.error, Fenced | StorageFailed), program.error
        assert any(program.error is None for program in programs), "nobody is left to serve"
        for disk in (self.disk.crash(0, "everything"), self.disk):
            _, recovery = open_log(disk)
            assert recovery.rot is None
            history = history_of(recovery)
            assert [payload for payload in history if payload in self.acknowledged] == self.acknowledged
            assert len(set(history)) == len(history)


@pytest.fixture(scope="module")
def base() -> Disk:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    story.enqueue(log, 2)
    story.snapshot(log)
    story.enqueue(log, 2)
    story.snapshot(log)
    story.enqueue(log)
    story.flush(log)
    return disk


#: Every pair of steps takes half a minute; the suite takes every pair (i, j) with i + j divisible by this.
STRIDE = 1 if os.environ.get("EXHAUSTIVE") else 5


@pytest.mark.exhaustive
def test_two_incarnations_interleaved_at_every_pair_of_steps_leave_one_history(base: Disk) -> None:
    """The first stops after any of its file calls, the second runs to any of its own, the first resumes to its end."""
    alone = FaultyFiles(deepcopy(base))
    Contest(alone.disk).serve(alone, b"alone")
    call_count = len(alone.calls)
    assert call_count > 50
    for first_steps in range(call_count + 1):
        for second_steps in range(-first_steps % STRIDE, call_count + 1, STRIDE):
            contest = Contest(deepcopy(base))
            with SteppedProgram(contest.disk, partial(contest.serve, name=b"first")) as first:
                first.step(first_steps)
                with SteppedProgram(contest.disk, partial(contest.serve, name=b"second")) as second:
                    second.step(second_steps)
                    first.finish()
                    second.finish()
            contest.check(first, second)


def test_of_two_in_lockstep_one_serves(base: Disk) -> None:
    contest = Contest(deepcopy(base))
    with (
        SteppedProgram(contest.disk, partial(contest.serve, name=b"first")) as first,
        SteppedProgram(contest.disk, partial(contest.serve, name=b"second")) as second,
    ):
        while not (first.is_done and second.is_done):
            first.step()
            second.step()
    contest.check(first, second)


def test_a_zombie_that_appends_behind_the_seal_changes_nothing(base: Disk) -> None:
    disk = deepcopy(base)
    zombie, recovery = open_log(disk)
    before = history_of(recovery)
    zombie.enqueue(b"served")
    zombie.flush()
    zombie.mark()
    new, recovery = open_log(disk)
    zombie.enqueue(b"too late")
    with pytest.raises(Fenced):
        zombie.flush()
    sequence = new.enqueue(b"in time")
    new.flush()
    _, recovery = open_log(disk)
    assert recovery.rot is None
    assert history_of(recovery) == [*before, b"served", b"in time"]
    assert sequence == len(before) + 2


def test_an_idle_zombie_notices_when_it_marks(base: Disk) -> None:
    disk = deepcopy(base)
    zombie, _ = open_log(disk)
    zombie.enqueue(b"served")
    zombie.flush()
    open_log(disk)
    with pytest.raises(Fenced):
        zombie.mark()


def test_the_claim_is_on_the_disk_before_anything_is_read_that_counts(base: Disk) -> None:
    files = FaultyFiles(deepcopy(base))
    open_files(files)
    claimed = files.calls.index("create")
    assert files.calls[claimed : claimed + 4] == ["create", "sync", "close", "sync_folder"]
    assert files.calls[claimed + 4 : claimed + 6] == ["list_folder", "list_folder"], "is it the highest; what is there"
    assert "read" in files.calls[claimed + 6 :]


def test_who_creates_an_old_claim_again_after_it_was_cleaned_up_touches_nothing(base: Disk) -> None:
    """Paused between choosing the epoch and claiming it, while two successors came and the second one cleaned up."""
    disk = deepcopy(base)

    def claim_late(files: FaultyFiles) -> None:
        late_files.append(files)
        open_files(files)

    late_files: list[FaultyFiles] = []
    alone = FaultyFiles(deepcopy(base))
    open_files(alone)
    with SteppedProgram(disk, claim_late) as late:
        late.step(alone.calls.index("create") + 1)
        log, _ = open_log(disk)
        log.enqueue(b"x")
        log.flush()
        log, _ = open_log(disk)
        late.finish()
    assert isinstance(late.error, Fenced)
    assert "rename" not in late_files[0].calls
    assert log.flush() == 6


@pytest.mark.parametrize("moment", ["create", "rename"])
def test_a_zombie_that_resumes_within_a_snapshot_deletes_nothing_of_its_successor(moment: str, base: Disk) -> None:
    def interrupt(call: str, path: str) -> None:
        if call == moment and "snapshot" in path:
            open_log(disk)
            before.extend(disk.names())

    disk, before = deepcopy(base), list[str]()
    zombie, recovery = open_log(disk, interrupt)
    history = history_of(recovery)
    with pytest.raises(Fenced):
        zombie.snapshot(encode_state(history), len(history))
    left = {name for name in before if not name.endswith(".tmp")}
    assert left <= set(disk.names())
    _, recovery = open_log(disk)
    assert (history_of(recovery), recovery.rot) == (history, None)
