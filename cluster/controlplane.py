#!/usr/bin/env python3
"""A control plane without nodes: etcd and kube-apiserver as processes on loopback, ready in seconds.

    with ControlPlane.running(tmp_path) as plane:
        plane.kubectl("get", "namespaces")

By hand: `python3 cluster/controlplane.py [COMMAND ...]` runs a command with KUBECONFIG set, or waits to be interrupted.
No controller runs, so nothing happens by itself: Jobs get no pods, an owner's children outlive it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cluster import gobuild, kindconfig
from cluster.certificates import Authority, Certificate, create_key_pair
from cluster.errors import ClusterError, CommandFailed
from cluster.kubeconfigs import kubeconfig
from cluster.running import output, say

_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 10.0
_START_TRIES = 3
#: Programs in Go collect garbage less often: a test's server has little data, and tests have few cores.
_LAZY_COLLECTOR = {"GOGC": "400"}


class ControlPlane:
    """etcd and kube-apiserver, each a process of ours, with all their files in one folder."""

    def __init__(self, folder: Path, server_arguments: Sequence[str] = ()) -> None:
        """Makes certificates and tokens in `folder`; starts nothing. Later `server_arguments` win over ours."""
        self.folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._server_arguments = tuple(server_arguments)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.authority = Authority.create(folder / "certificates")
        self._serving = self.authority.issue("server", "/CN=kube-apiserver", "DNS:localhost", "IP:127.0.0.1")
        self._signing_key, self._checking_key = create_key_pair(folder / "certificates", "service-accounts")
        self.token = secrets.token_urlsafe(24)
        """A bearer token of the group system:masters."""
        (folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        (folder / "tokens.csv").chmod(0o600)
        self.url = ""
        self.kubeconfig = folder / "kubeconfig"
        self._etcd_url = ""

    @classmethod
    @contextmanager
    def running(cls, folder: Path, server_arguments: Sequence[str] = ()) -> Iterator[ControlPlane]:
        """A control plane that answers; its processes are ended at the end."""
        plane = cls(folder, server_arguments)
        try:
            plane.start()
            yield plane
        finally:
            plane.end()

    @property
    def ca_file(self) -> Path:
        """The certificate by which clients trust the server."""
        return self.authority.own.certificate

    def start(self) -> None:
        """Starts both on free ports and waits until the server is ready; tries others when one is taken meanwhile."""
        for left in reversed(range(_START_TRIES)):
            try:
                self._start_etcd()
                self.start_server()
            except ClusterError:
                self.end()
                if not left:
                    raise
            else:
                return

    def start_server(self) -> None:
        """Starts the API server, on the address it had before, and waits until it is ready."""
        if not self.url:
            self.url = f"https://127.0.0.1:{_free_port()}"
            text = kubeconfig(self.url, self.ca_file.read_bytes(), self.token)
            self.kubeconfig.write_text(text)
            self.kubeconfig.chmod(0o600)
        self._start("kube-apiserver", self._server_flags())
        self._await("kube-apiserver", self._is_ready)

    def end_server(self, *, kills: bool = False) -> None:
        """Ends the API server, as an upgrade does or, with `kills`, as a crash does. etcd keeps its data."""
        self._end("kube-apiserver", signal.SIGKILL if kills else signal.SIGTERM)

    def end(self) -> None:
        """Ends both processes; the folder stays, and another start takes other ports."""
        for name in reversed(list(self._processes)):
            self._end(name, signal.SIGTERM)
        self.url = self._etcd_url = ""

    def process_id(self, name: str) -> int:
        """The process id of `etcd` or `kube-apiserver`, for tests that measure or stop it."""
        return self._processes[name].pid

    def issue(self, name: str, subject: str, *names: str) -> Certificate:
        """A certificate of this control plane's authority: for a client, or for a proxy in front of the server."""
        return self.authority.issue(name, subject, *names)

    def kubectl(self, *args: str, timeout_s: float = 30.0, given: str | None = None) -> str:
        """Standard output of `kubectl`; `given` is its standard input."""
        argv = [str(gobuild.program("kubectl")), "--kubeconfig", str(self.kubeconfig), *args]
        return output(argv, timeout_s=timeout_s, given=None if given is None else given.encode())

    def _start_etcd(self) -> None:
        self._etcd_url = f"http://127.0.0.1:{_free_port()}"
        peer = f"http://127.0.0.1:{_free_port()}"
        data = self.folder / "etcd"
        shutil.rmtree(data, ignore_errors=True)  # left by a try whose port was taken
        flags = {
            "data-dir": data,
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "warn",
        }
        # A test's data need not survive the machine.
        self._start("etcd", [*(f"--{name}={value}" for name, value in flags.items()), "--unsafe-no-fsync"])

    def _server_flags(self) -> list[str]:
        certificates = self.folder / "certificates"
        flags = {
            "etcd-servers": self._etcd_url,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",  # else a machine without a default route has none
            "endpoint-reconciler-type": "none",
            "secure-port": self.url.rsplit(":", 1)[1],
            "cert-dir": certificates,
            "tls-cert-file": self._serving.certificate,
            "tls-private-key-file": self._serving.key,
            "client-ca-file": self.ca_file,
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-account-key-file": self._checking_key,
            "service-account-signing-key-file": self._signing_key,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-cluster-ip-range": kindconfig.SERVICE_RANGE,
            # No controller makes the account `default`, without which no pod would be accepted.
            "disable-admission-plugins": "ServiceAccount",
        }
        return [*(f"--{name}={value}" for name, value in flags.items()), *self._server_arguments]

    def _start(self, name: str, flags: Sequence[str]) -> None:
        # The kernel ends the process with the thread that started it, so that a killed test run leaves nothing behind.
        guarded = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*guarded, str(gobuild.program(name)), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**_LAZY_COLLECTOR, **os.environ},
                start_new_session=True,  # an interrupt of the test run ends them in order, by `end`
            )

    def _await(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not is_ready():
            for started, process in self._processes.items():
                if process.poll() is not None:
                    said = (self._logs / f"{started}.log").read_text(errors="replace")
                    raise CommandFailed([started], process.returncode, said, self._logs / f"{started}.log")
            if time.monotonic() > deadline:
                said = (self._logs / f"{name}.log").read_text(errors="replace")
                raise CommandFailed([name], None, said, self._logs / f"{name}.log")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=2, context=trust) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _end(self, name: str, sent: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sent)
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def main(command: list[str]) -> int:
    """Runs `command` against a control plane of its own, or waits for an interrupt."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory() as folder, ControlPlane.running(Path(folder)) as plane:
            path = f"{gobuild.program('kubectl').parent}:{os.environ['PATH']}"
            if command:
                env = {**os.environ, "KUBECONFIG": str(plane.kubeconfig), "PATH": path}
                return subprocess.run(command, env=env, check=False).returncode
            print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    except ClusterError as error:
        say(f"cluster/controlplane.py: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
