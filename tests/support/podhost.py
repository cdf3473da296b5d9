"""The coordinator's side of one job's pods, on this machine: what the operator mounts, and two processes over it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mapreduce.podjob import Termination
from mapreduce.protocol.client import CoordinatorClient, UrlEndpoint
from mapreduce.protocol.messages import JobStatus
from tests.support.forked import start_module
from tests.support.mrruns import until

UID = "0a1b2c3d-uid"
CODE = """
def mapper(line):
    for word in line.split():
        yield word, 1
"""


@dataclass
class PodHost:
    """Folders as they are below `/mr`, and a coordinator over them."""

    root: Path
    spec: dict[str, Any] = field(default_factory=dict)
    code: str = CODE
    uid: str = UID
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0
    metrics_port: int = 0

    def __post_init__(self) -> None:
        for name in ("job", "prepared", "tokens", "state", "claims/data/in", "configmaps", "secrets"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.claim / "in" / "a.txt").write_text("to be or not to be\n")
        for role in ("admin", "worker", "read"):
            (self.root / "tokens" / role).write_text(f"{role}-token-".ljust(40, role[0]) + "\n")
        self.spec = {
            "code": {"inline": self.code},
            "inputs": [{"uri": "pvc://data/in/*.txt"}],
            "output": {"uri": "pvc://data/out"},
            "reducer": "sum",
            **self.spec,
        }
        self.port, self.metrics_port = _free_port(), _free_port()

    @property
    def claim(self) -> Path:
        return self.root / "claims" / "data"

    @property
    def out(self) -> Path:
        return self.claim / "out"

    def mount_job(self) -> None:
        """What the operator writes."""
        job = {"name": "words", "namespace": "here", "uid": self.uid, "spec": self.spec}
        (self.root / "job" / "job.json").write_text(json.dumps(job))
        (self.root / "job" / "job.py").write_text(self.code)

    def prepare(self) -> int:
        """The init container; its exit code."""
        self.mount_job()
        return self._run("mapreduce.podprepare", "--out", self.root / "prepared").wait(60)

    def start(self, *options: object, is_shared: bool = False) -> subprocess.Popen[bytes]:
        """The coordinator's container."""
        return self._run(
            "mapreduce.coordinator.pod",
            *("--state", self.root / "state", "--prepared", self.root / "prepared"),
            *("--tokens", self.root / "tokens", "--host", "127.0.0.1", "--port", self.port),
            *("--metrics-port", self.metrics_port),
            *(("--runs", self.root / "runs") if is_shared else ()),
            *options,
        )

    def refusal(self) -> tuple[int, str, str]:
        """Prepare and start once: exit code, reason and message of the coordinator."""
        self.termination_path.unlink(missing_ok=True)
        assert self.prepare() == 0
        code = self.start().wait(60)
        said = self.termination()
        return code, said.reason, said.message

    @property
    def termination_path(self) -> Path:
        return self.root / "termination"

    def termination(self) -> Termination:
        return msgspec.json.decode(self.termination_path.read_bytes(), type=Termination)

    def client(self) -> CoordinatorClient:
        return CoordinatorClient(UrlEndpoint(f"http://127.0.0.1:{self.port}", self.token("admin")), deadline_s=10)

    def token(self, role: str) -> str:
        return (self.root / "tokens" / role).read_text().strip()

    def run_worker(self, name: str = "worker-a") -> int:
        """A worker, from its start to its end; its exit code."""
        token = self.root / "tokens" / "worker"
        where = ("--coordinator", f"http://127.0.0.1:{self.port}", "--token-file", token)
        command = (*where, "--name", name, "--scratch", self.root / f"scratch-{name}")
        return _start("mapreduce_worker", *command, into=self.processes).wait(90)

    def run_to_its_end(self, *, is_shared: bool = False) -> JobStatus:
        """Prepare, start, one worker; the status when the job is over. The coordinator goes on."""
        assert self.prepare() == 0
        self.start(is_shared=is_shared)
        assert self.run_worker() == 0
        return self.until("Complete", "Failed")

    def until(self, *states: str) -> JobStatus:
        """Wait until the job is in one of these states."""
        seen: list[JobStatus] = []

        def is_so() -> bool:
            client = self.client()
            try:
                seen.append(client.status(1)[0])
            except Exception:
                return False
            finally:
                client.close()
            return seen[-1].state in states

        until(is_so, f"{states}", lambda: str(seen[-1:]))
        return seen[-1]

    def lines(self) -> list[str]:
        return sorted(line for part in self.out.glob("part-*") for line in part.read_text().splitlines())

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, module: str, *options: object) -> subprocess.Popen[bytes]:
        folders = ("--job", self.root / "job", "--root", self.root, "--termination-log", self.termination_path)
        return _start(module, *folders, *options, into=self.processes)


def _start(module: str, *options: object, into: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    process = start_module(module, *options, stdin=subprocess.DEVNULL)
    into.append(process)
    return process


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
