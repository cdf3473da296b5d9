"""`mr` in the test's own process against a fake cluster, and the states of jobs that operators write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mapreduce.local.progress import PlainWatcher
from mapreduce.protocol.messages import JobStatus
from mapreduce_cli import main as cli
from tests.support.fakecluster import FakeCluster, fake_cluster


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str


@dataclass
class Person:
    """Somebody with a kubeconfig, who types commands."""

    cluster: FakeCluster
    capture: pytest.CaptureFixture[str]
    folder: Path

    def mr(self, *arguments: object, is_plugin: bool = False) -> Ran:
        """Run a command to its end."""
        self.capture.readouterr()
        code = cli.invoke([str(argument) for argument in arguments], is_plugin=is_plugin)
        told = self.capture.readouterr()
        return Ran(code, told.out, told.err)


def when_watched(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Do these things, in order, each once a command that follows a job has seen what was before."""

    class Acting(PlainWatcher):
        def __init__(self) -> None:
            super().__init__(sys.stderr)
            self._left = list(actions)

        def progress(self, status: JobStatus) -> None:
            """The command has seen something."""
            if self._left:
                self._left.pop(0)()

    monkeypatch.setattr("mapreduce_cli.cluster.following.make_watcher", Acting)


def condition(type_: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    """A condition as operators write it."""
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


COMPLETE: dict[str, Any] = {
    "state": "Complete",
    "startTime": "2026-01-02T03:04:06Z",
    "completionTime": "2026-01-02T03:04:48Z",
    "maps": {"total": 3, "committed": 3, "progress": "3/3"},
    "reduces": {"total": 2, "committed": 2, "progress": "2/2"},
    "workers": {"desired": 2, "ready": 2},
    "inputBytes": 2048,
    "shuffle": "Shared",
    "counters": {"words": 7},
    "message": "The whole output is in place.",
    "conditions": [
        condition("CoordinatorReady", "True", "Answering"),
        condition("Complete", "True", "Published"),
        condition("Finished", "True", "Succeeded"),
    ],
}

FAILED: dict[str, Any] = {
    "state": "Failed",
    "attemptsFailed": 5,
    "conditions": [
        condition("Failed", "True", "TaskFailed", "The job's code raised an exception.\nTraceback: ValueError"),
        condition("Finished", "True", "JobFailed"),
    ],
    "failures": [
        {
            "task": f"map-{index}",
            "attempt": 4,
            "class": "user",
            "message": f"ValueError: no number: 'x{index}'",
            "traceback": 'File "job.py", line 2, in mapper\nValueError: no number',
            "record": "pvc://books/a.txt, byte 17: x",
            "at": "2026-01-02T03:04:20Z",
            "worker": "mr-wc-workers-abc",
        }
        for index in (1, 3)
    ],
}


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Person]:
    """Somebody whose kubeconfig leads to a fake cluster's namespace `team-a`, and who has no coordinator here."""
    for name in ("MR_NAMESPACE", "MR_CONTEXT", "MR_KUBECONFIG", "MR_TOKEN_FILE", "MR_READER_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with fake_cluster() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path, namespace="team-a")))
        yield Person(cluster, capsys, tmp_path)
