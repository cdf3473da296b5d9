"""A worker as it is in a pod: an agent and a host of executors, two processes that share folders and no more.

As root they are two users of one group, each of which may write to what the container of that name may.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.hosts import HostProcess
from tests.support.workers import Worker

AGENT_USER, EXECUTOR_USER, GROUP = 10_001, 10_002, 10_000


class Pod:
    """An agent and a host.

    Args:
        state: folder of a coordinator on this machine whose worker this is; None: the options say where it is.
        folder: short, because sockets lie in it; everything of the pod does.
        has_users: the two are different users.
        by_coordinator: the pod shares no volume with the coordinator.
        has_work: the options name the folders that executors write to.
    """

    def __init__(
        self,
        state: Path | None,
        folder: Path,
        *options: str,
        has_users: bool = False,
        by_coordinator: bool = False,
        has_work: bool = False,
    ) -> None:
        self.state, self.folder, self.has_users = state, folder, has_users
        self.sockets, self.disk, self.work = folder / "sockets", folder / "disk", folder / "work"
        self.secrets = folder / "secrets"
        for made in (self.sockets, self.disk, self.work):
            made.mkdir(exist_ok=True)
            if has_users:
                share(made)
        folder.chmod(0o755)
        self.host = self.start_host()
        self.agent = self._start_agent(options if has_work else (*self._work(by_coordinator), *options))

    def start_host(self) -> HostProcess:
        """The executors' container starts (again)."""
        return HostProcess(self.sockets, prefix=self._as_user(EXECUTOR_USER), extra={"TMPDIR": "/tmp"})

    def close(self) -> None:
        self.agent.close()
        self.host.close()

    def _work(self, by_coordinator: bool) -> list[str]:
        if not by_coordinator:
            return ["--work", f"{self.work}={self.work}", "--output-work", f"{self.work}={self.work}"]
        (self.disk / "work").mkdir()
        if self.has_users:
            share(self.disk / "work")
        return ["--work", f"{self.disk}/work={self.disk}/work"]

    def _start_agent(self, options: Sequence[str]) -> Worker:
        return Worker(
            self.state,
            self.disk,
            *("--executors", str(self.sockets), "--secrets", str(self.secrets), *options),
            prefix=self._as_user(AGENT_USER),
        )

    def _as_user(self, user: int) -> list[str]:
        if not self.has_users:
            return []
        interpreter = interpreter_for_others()
        assert interpreter is not None
        return [*as_user(user), *interpreter]


def share(folder: Path) -> None:
    """Give a folder with all in it to the group, as fsGroup does with a volume."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 0, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)


def interpreter_for_others() -> list[str] | None:
    """How users other than root start Python with this checkout; None where only root can, or is nobody else."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return None
    path = ":".join(entry for entry in sys.path if entry)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/{version}"):
        command = ["env", f"PYTHONPATH={path}", program]
        probe = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import mapreduce_worker']))"
        done = subprocess.run(
            [*as_user(EXECUTOR_USER), *command, "-c", probe], check=False, capture_output=True, cwd="/"
        )
        if done.returncode == 0:
            return command
    return None


def as_user(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", "--inh-caps=-all"]
