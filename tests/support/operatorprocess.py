"""The real operator as a process of a test, started as its image starts it, with every wait made short."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.mrruns import DEADLINE_S, until

#: Long enough for a busy machine, short enough for a test that waits for each of them.
SHORT_WAITS: Mapping[str, str] = {
    "MR_LEASE_SECONDS": "15",
    "MR_WATCH_SECONDS": "6",
    "MR_REQUEST_SECONDS": "5",
    "MR_POLL_SECONDS": "0.3",
    "MR_RESYNC_SECONDS": "5",
    "MR_CLEANUP_DEADLINE_SECONDS": "8",
}
LEASE_S = float(SHORT_WAITS["MR_LEASE_SECONDS"])
#: The operator's own, as in a cluster: what is measured with many jobs must not be how often short waits have it look.
USUAL_WAITS: Mapping[str, str] = dict.fromkeys(SHORT_WAITS, "")
LEASE_NAMESPACE = "mapreduce-system"


@dataclass
class OperatorProcess:
    """One operator. Started again after its end it is another one, with the same log file."""

    folder: Path
    kubeconfig: Path
    coordinator_url: str
    name: str = "operator-a"
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    health_port: int = 0

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def has_lost_its_lease(self) -> bool:
        """Whether it ended because it could not renew its Lease in time: a machine that stood still does that to it."""
        if self.is_running:
            return False
        said = self.said
        return said.rfind("The Lease is lost") > said.rfind("Waiting for the Lease")

    def start(self) -> None:
        """Starts it; waits for nothing."""
        assert not self.is_running
        self.health_port = _free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MR_", "KOPF_"))}
        own = {
            "KUBECONFIG": str(self.kubeconfig),
            "MR_COORDINATOR_URL": self.coordinator_url,
            "MR_WORKER_IMAGE": "localhost/mapreduce-worker:dev",
            "MR_LEASE_NAMESPACE": LEASE_NAMESPACE,
            "MR_POD_NAME": self.name,
            "MR_HEALTH_PORT": str(self.health_port),
            "SSL_CERT_FILE": os.devnull,  # it trusts its API server's authority only; aiohttp reads all when imported
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kopf", "run", "-m", "mapreduce_operator.handlers", "--all-namespaces"],
                env={**inherited, **own, **SHORT_WAITS, **self.environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def until_healthy(self) -> None:
        """Waits until it says of itself that it works."""
        until(lambda: self.is_healthy() or not self.is_running, f"the operator {self.name}", lambda: self.said[-4000:])
        assert self.is_running, self.said[-4000:]

    def is_healthy(self) -> bool:
        """What a liveness probe finds."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """As a power cut."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """A signal, and its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def stop(self) -> None:
        """It stands still, as on a node that is paused."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def memory_bytes(self) -> int:
        """Resident memory now."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@contextmanager
def operator_process(folder: Path, kubeconfig: Path, coordinator_url: str, **more: object) -> Iterator[OperatorProcess]:
    """An operator that runs; whatever becomes of it, it is gone afterwards."""
    operator = OperatorProcess(folder, kubeconfig, coordinator_url, **more)  # type: ignore[arg-type] # fields of it
    operator.start()
    try:
        yield operator
    finally:
        if operator.is_running:
            operator.resume()
            operator.kill()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
