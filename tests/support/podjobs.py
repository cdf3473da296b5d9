"""A whole job as it runs in a cluster, on this machine: init container, coordinator and workers as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import CoordinatorClient, UrlEndpoint
from mapreduce.protocol.messages import CoordinatorStatus, JobStatus
from tests.support.forked import start_module
from tests.support.hosts import short_folder
from tests.support.pods import AGENT_USER, EXECUTOR_USER, Pod, as_user, interpreter_for_others, share

DEADLINE_S = 60.0


class PodJob:
    """One job. Its volumes are folders below `root`, which stands for `/mr`.

    Args:
        root: an empty folder.
        spec: as in a manifest; `pvc://data/...` is a folder of this test.
        code: the job's Python.
        is_shared: coordinator and workers share a volume for runs.
        has_users: each container is the user that it is in a cluster. Needs `interpreter_for_others`.
    """

    def __init__(
        self, root: Path, spec: dict[str, Any], code: str, *, is_shared: bool, has_users: bool = False
    ) -> None:
        self.root, self.is_shared, self.has_users = root, is_shared, has_users
        self._stack = ExitStack()
        self.pods: list[Pod] = []
        self.claim = root / "claims" / "data"
        for name in ("job", "prepared", "tokens", "state", "claims/data", "secrets"):
            (root / name).mkdir(parents=True, exist_ok=True)
        shuffle = "Shared" if is_shared else "Peer"
        spec = {**spec, "code": {"inline": code}, "storage": {"shuffle": shuffle, **spec.get("storage", {})}}
        job = {"name": "test", "namespace": "here", "uid": "12345678-uid", "spec": spec}
        (root / "job" / "job.json").write_text(json.dumps(job))
        (root / "job" / "job.py").write_text(code)
        for role in ("admin", "worker"):
            (root / "tokens" / role).write_text(role * 10)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = CoordinatorClient(UrlEndpoint(self.url, "admin" * 10))
        self.coordinator: subprocess.Popen[bytes] | None = None

    def start(self) -> PodJob:
        """The init container runs, and the coordinator starts."""
        if self.is_shared:
            (self.root / "runs").mkdir(exist_ok=True)
        if self.has_users:
            share(self.root)
            self.root.parent.chmod(0o755)
        folders = ["--job", self.root / "job", "--root", self.root, "--termination-log", self.root / "termination"]
        self._run(EXECUTOR_USER, "mapreduce.podprepare", "--out", self.root / "prepared", *folders).wait(DEADLINE_S)
        if self.has_users:
            (self.root / "tokens").chmod(0o700)
            for path in (self.root / "tokens", *(self.root / "tokens").iterdir()):
                os.chown(path, AGENT_USER, 0)
        self.start_coordinator()
        return self

    def start_coordinator(self) -> None:
        """The coordinator's container starts (again)."""
        root = self.root
        options: list[object] = [
            "--state",
            root / "state",
            "--prepared",
            root / "prepared",
            "--tokens",
            root / "tokens",
        ]
        options += ["--job", root / "job", "--root", root, "--termination-log", root / "termination"]
        options += ["--host", "127.0.0.1", "--port", self.port, "--metrics-port", 0]
        if self.is_shared:
            options += ["--runs", root / "runs"]
        self.coordinator = self._run(AGENT_USER, "mapreduce.coordinator.pod", *options)

    def kill_coordinator(self) -> None:
        assert self.coordinator is not None
        self.coordinator.kill()
        self.coordinator.wait()

    def start_pod(self, name: str, *options: str) -> Pod:
        """A worker's pod starts."""
        folder = self._stack.enter_context(short_folder())
        where = ["--coordinator", self.url, "--token-file", str(self.root / "tokens" / "worker"), "--name", name]
        if self.is_shared:
            output_work = self.claim / "out" / "_mapreduce" / "work" / name
            for work in (self.root / "runs" / "work" / name, output_work):
                self._make_sub_path(work)
            where += ["--work", f"{self.root}/runs/work/{name}={self.root}/runs/work/{name}"]
            where += ["--output-work", f"{output_work}={output_work}"]
        pod = Pod(
            None,
            folder,
            *where,
            *options,
            by_coordinator=not self.is_shared,
            has_work=self.is_shared,
            has_users=self.has_users,
        )
        self.pods.append(pod)
        return pod

    def status(self) -> JobStatus | None:
        """How the job is; None while nobody answers."""
        try:
            return self.client.status(1)[0]
        except MapReduceError:
            return None

    def how_is_the_coordinator(self) -> CoordinatorStatus | None:
        try:
            return self.client.coordinator()
        except MapReduceError:
            return None

    def until_over(self) -> JobStatus:
        """Wait for the job's end."""
        end_s = time.monotonic() + DEADLINE_S
        while (status := self.status()) is None or status.state not in {"Complete", "Failed", "Cancelled"}:
            assert time.monotonic() < end_s, f"the job does not end: {status}"
            time.sleep(0.05)
        return status

    def output(self) -> list[str]:
        """Lines of all parts, in order."""
        parts = sorted((self.claim / "out").glob("part-*"))
        return [line for part in parts for line in part.read_text().splitlines()]

    def close(self) -> None:
        for pod in self.pods:
            pod.close()
        if self.coordinator is not None and self.coordinator.poll() is None:
            self.coordinator.send_signal(signal.SIGTERM)
            self.coordinator.wait(20)
        self.client.close()
        self._stack.close()

    def _make_sub_path(self, folder: Path) -> None:
        """Make what subPathExpr names as kubelet does: with the rights of the folder above it."""
        for path in reversed((folder, *folder.parents)):
            if path.is_relative_to(self.root) and not path.exists():
                path.mkdir()
                if self.has_users:
                    share(path)

    def _run(self, user: int, module: str, *options: object) -> subprocess.Popen[bytes]:
        interpreter = interpreter_for_others() if self.has_users else None
        prefix = () if interpreter is None else (*as_user(user), *interpreter)
        return start_module(module, *options, prefix=prefix, stdin=subprocess.DEVNULL, cwd="/")
