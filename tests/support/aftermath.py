"""What a job leaves behind, judged: output against the sequential reference, log against its own rules, nothing else.

Reads files only; every fault test ends here.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mapreduce.scheduling import invariants, records, snapshot
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.state import State
from mapreduce.scheduling.transitions import TaskState
from mapreduce.wal.explain import Verdict, verify
from mapreduce.wal.files import LocalFiles
from mapreduce.wal.recovery import read_log
from tests.support.killing import commands_in, until_quiet
from tests.support.mrruns import parts, until
from tests.support.steppedjobs import MAPS, REDUCES, SteppedJob, oracle_parts

#: What stays of a finished job, beside its parts and `_SUCCESS`.
_STAYS = {"code", "inputs.json", "jobs", "lock", "log", "owner.json"}
_TEMPORARY = (".run", ".out", ".trace", ".tmp", ".sock")


@dataclass
class Story:
    """What a log tells of job 1."""

    granted: Counter[str] = field(default_factory=Counter)
    committed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    released: Counter[str] = field(default_factory=Counter)
    """How often the attempts of a task ended in silence: `map-3 LOST`."""
    lost: Counter[str] = field(default_factory=Counter)
    committers: dict[str, str] = field(default_factory=dict)
    """Who committed a task, and which attempt: `worker-a a2`."""
    epochs: int = 0
    end: str = ""
    reason: str = ""
    kinds: list[str] = field(default_factory=list)

    def add(self, record: records.AnyRecord) -> None:
        self.kinds.append(type(record).__name__)
        match record:
            case records.LeasesGranted():
                for grant in record.grants:
                    task = f"{record.kind}-{grant.index}"
                    assert not self._is_committed(task), f"{task} is committed and was granted again"
                    self.granted[task] += 1
            case records.TasksCommitted():
                for commit in record.commits:
                    task = commit.id.task
                    assert not self._is_committed(task), f"{task} was committed twice"
                    self.committed[task] += 1
                    self.committers[task] = f"{record.worker} a{commit.id.attempt}"
            case records.OutputLost():
                self.lost.update(f"{record.kind}-{index}" for index in record.indexes)
            case records.AttemptFailed():
                self.failed[f"{record.id.task} {record.failure.failure_class}"] += 1
            case records.LeasesReleased():
                self.released.update(f"{held.task} {record.why.name}" for held in record.ids)
            case records.JobFinished():
                self.end, self.reason = record.state, record.reason
            case records.EpochStarted():
                self.epochs += 1
            case _:
                pass

    @classmethod
    def before(cls, state: State) -> Story:
        """What a snapshot tells in place of the records it replaced: what is committed, and how the job ended."""
        story = cls(epochs=state.epoch)
        for job in state.jobs.values():
            story.end, story.reason = (job.phase.value, job.reason) if job.phase.is_final else ("", "")
            for table in (job.maps, job.reduces):
                assert not table.remade, "which tasks were lost is only in records that a snapshot has replaced"
                committed = (index for index in range(table.count) if table.state[index] == TaskState.COMMITTED)
                story.committed.update(f"{table.kind}-{index}" for index in committed)
        return story

    def attempts(self, task: str) -> int:
        """How often a task was granted and not given back."""
        return self.granted[task] - self.released[f"{task} HANDED_BACK"] - self.released[f"{task} UNCLAIMED"]

    def _is_committed(self, task: str) -> bool:
        return self.committed[task] > self.lost[task]


def read_story(state_folder: Path) -> Story:
    """The log's own story, its rules checked on the way: nothing committed is granted again unless it was lost."""
    image = read_log(LocalFiles(), str(state_folder / "log"))
    assert image.rot is None, image.rot
    state = snapshot.load(image.state) if image.state else State()
    story = Story.before(state)
    for _, payload in image.records:
        record = records.decode(payload)
        story.add(record)
        evolve(state, record)
    invariants.check(state)
    return story


def committed_in(state_folder: Path) -> set[str]:
    """Tasks whose commit is on disk, of a coordinator that runs or was killed."""
    try:
        return set(read_story(state_folder).committed)
    except OSError:  # it is being made, or a segment has just got its name
        return set()


def check_run(job: SteppedJob, *, remade: int = 0) -> Story:
    """The end of a `mr run` that succeeded, however often it was killed: invariants I1 to I4."""
    until_quiet(job.root)
    story = check_result(job, job.out / "_mapreduce", remade=remade)
    left = {path.name for path in (job.out / "_mapreduce").iterdir()}
    assert left <= _STAYS, f"left in _mapreduce: {left - _STAYS}"
    check_no_leftovers(job, job.out)
    return story


def check_result(job: SteppedJob, state_folder: Path, *, remade: int = 0) -> Story:
    """Parts, `_SUCCESS` and log of a job that is complete; its coordinator may still run."""
    assert parts(job.out) == oracle_parts()
    success = json.loads((job.out / "_SUCCESS").read_bytes())
    assert (success["mapsRemade"], success["maps"], success["reduces"]) == (remade, MAPS, REDUCES)
    story = read_story(state_folder)
    assert sum(story.lost.values()) == remade
    assert story.end == "Complete"
    assert sum(story.committed.values()) == MAPS + REDUCES + remade
    assert len(story.committed) == MAPS + REDUCES
    report = verify(LocalFiles(), str(state_folder / "log"))
    assert report.verdict is Verdict.SOUND, report
    return story


def until_cleaned_up(state: Path) -> None:
    """Waits until the coordinator, which lives, has removed the runs of its jobs: it does so behind their end."""
    until(
        lambda: not list(state.glob("jobs/*/runs/*")), "the end of the clean-up", lambda: list(state.glob("jobs/*/*"))
    )


def check_no_leftovers(job: SteppedJob, *folders: Path) -> None:
    """No temporary file in these folders, nothing in the folder for temporary files."""
    left = [path for folder in folders for path in folder.rglob("*") if path.name.endswith(_TEMPORARY)]
    left += [path for path in job.temporary.rglob("*") if "mr" in path.name]
    assert not left, left
    assert not list(job.temporary.iterdir())
    notes = job.runtime / "mapreduce"
    assert not notes.exists() or not list(notes.iterdir())


def check_orphans_end(job: SteppedJob) -> None:
    """Nobody is left a moment after the processes that held them together were killed."""
    until(lambda: not commands_in(job.root), "the end of orphans", lambda: commands_in(job.root))
