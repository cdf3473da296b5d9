"""Where the files of an attempt are made, by the executor's and the agent's names, and where they go before its commit.

In one container both names are one, and files are made where they stay. In two, the executor writes into a folder of
its own, and the agent moves what it made. Names come from ids that the coordinator gave. Pure.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mapreduce.protocol.messages import Assignment, AttemptId, JobDefinition


class WorkFolder(msgspec.Struct, frozen=True):
    """A folder that executors write to."""

    executor: str
    """Its path for the executors."""
    agent: str
    """Its path for the agent."""

    @classmethod
    def shared(cls, path: Path | str) -> WorkFolder:
        """One that has the same name for both."""
        return cls(str(path), str(path))


class Places(msgspec.Struct, frozen=True):
    """The folders of one job at one worker."""

    runs: str
    """Where runs go."""
    run_work: WorkFolder
    """Where they are made."""
    outputs: str
    """Where outputs go; empty: to the coordinator, by upload."""
    output_work: WorkFolder
    trace_work: WorkFolder
    fetched: Path
    """Where this worker puts what its attempts read from afar."""

    def target(self, assignment: Assignment, partitions: int) -> str:
        """The file that an attempt writes, for its executor. A str: there may be thousands a second."""
        folder = self.run_work if _makes_run(assignment.id, partitions) else self.output_work
        return f"{folder.executor}/{_name(assignment.id, partitions)}"

    def made(self, attempt: AttemptId, partitions: int) -> str:
        """The same file, for the agent."""
        folder = self.run_work if _makes_run(attempt, partitions) else self.output_work
        return f"{folder.agent}/{_name(attempt, partitions)}"

    def final(self, attempt: AttemptId, partitions: int) -> str:
        """Where it has to be before the commit; empty: at the coordinator."""
        folder = self.runs if _makes_run(attempt, partitions) else self.outputs
        return f"{folder}/{_name(attempt, partitions)}" if folder else ""

    def trace(self, attempt: AttemptId) -> str:
        """The file of an attempt's record trace, for its executor."""
        return f"{self.trace_work.executor}/{attempt.stem}.trace"

    def trace_made(self, attempt: AttemptId) -> Path:
        """The same file, for the agent."""
        return Path(f"{self.trace_work.agent}/{attempt.stem}.trace")

    @property
    def is_separate(self) -> bool:
        """Whether executors write into folders of their own."""
        return self.run_work.agent != self.runs or self.output_work.agent != self.outputs


def plan_places(
    definition: JobDefinition, scratch: Path, work: WorkFolder | None, output_work: WorkFolder | None
) -> Places:
    """The folders of a job, for a worker that was given these folders for its executors (None: none of their own)."""
    number = str(definition.job)
    keeps_runs = definition.data == "coordinator" or definition.spec.storage.shuffle == "Peer"
    runs = str(scratch / "runs" / number) if keeps_runs else definition.runs_dir
    is_uploaded = definition.data == "coordinator"
    outputs = "" if is_uploaded else definition.attempts_dir
    traces = str(scratch / "traces" / number) if is_uploaded else definition.trace_dir
    return Places(
        runs=runs,
        run_work=work or WorkFolder.shared(runs),
        outputs=outputs,
        output_work=output_work
        or (work if is_uploaded else None)
        or WorkFolder.shared(outputs or scratch / "outputs" / number),
        trace_work=work or WorkFolder.shared(traces),
        fetched=scratch / "fetched" / number,
    )


def _makes_run(attempt: AttemptId, partitions: int) -> bool:
    return attempt.kind == "map" and partitions > 0


def _name(attempt: AttemptId, partitions: int) -> str:
    return f"{attempt.stem}.run" if _makes_run(attempt, partitions) else f"{attempt.stem}.out"
