"""Processes in the containers of pods, seen from their node: found, killed and stopped there, past any signal handler.

There is no crictl in a node image made here, and a program in a container cannot kill that container's first process;
from the node, containerd's own client and /proc tell and do it all.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.kubecalls import WITHIN_S, Namespace, Object

_LIST = """
for pid in $(ctr --namespace k8s.io tasks ps "$1" | awk 'NR > 1 {print $1}'); do
    printf '%s %s\\n' "$pid" "$(tr '\\0' ' ' < /proc/$pid/cmdline)"
done
"""
_KILL_WHEN_THERE = """
there() { [ -e "$1" ]; }
until there /proc/$1/root$2; do
    [ -e "/proc/$1/root" ] || exit 1
done
kill -KILL "$1"
"""
_LINK = """
set -eu
index=$(nsenter -t "$1" -n ip -o link show eth0 | sed 's/.*@if\\([0-9]*\\):.*/\\1/')
ip link set "$(ip -o link | awk -F': ' -v i="$index" '$1 == i {sub(/@.*/, "", $2); print $2}')" "$2"
"""
#: In one go: a coordinator that lived on without a network would soon give its workers up.
_SILENCE = f'{_LINK}kill -STOP "$1"\n'


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id in the node."""

    node: str
    pid: int
    command: str


def processes(namespace: Namespace, pod: str, container: str) -> list[Process]:
    """All processes of a container, its first one first."""
    # What Kubernetes knows of a container comes some time after what the container does.
    found = namespace.until("pod", pod, f"runs its {container}", lambda it: bool(_running_id(it, container)))
    node = str(found["spec"]["nodeName"])
    said = namespace.cluster.engine.inside(node, "sh", "-c", _LIST, "sh", _running_id(found, container))
    rows = (line.split(" ", 1) for line in said.splitlines())
    return sorted((Process(node, int(row[0]), row[1].strip()) for row in rows), key=lambda process: process.pid)


def kill_container(namespace: Namespace, pod: str, container: str) -> None:
    """`kill -9` of a container's first process, and thereby of all in it."""
    _signal(namespace, "KILL", processes(namespace, pod, container)[:1])


def lose_pod(namespace: Namespace, pod: str, container: str) -> None:
    """Takes a pod away as the loss of its node would: at once, without a word to whoever is connected to it.

    The process is killed, too: it would outlive the deletion. Not before that: it would be started again.
    """
    first = processes(namespace, pod, container)[0]
    namespace.cluster.engine.inside(first.node, "sh", "-c", _SILENCE, "sh", str(first.pid), "down")
    namespace.kill_pod(pod)
    _signal(namespace, "KILL", [first])


def kill_processes(namespace: Namespace, pod: str, container: str, matching: str) -> int:
    """`kill -9` of the container's processes whose command line has `matching` in it; returns their number."""
    found = [process for process in processes(namespace, pod, container) if matching in process.command]
    _signal(namespace, "KILL", found)
    return len(found)


@contextmanager
def kill_when_there(namespace: Namespace, pod: str, container: str, path: str) -> Iterator[None]:
    """`kill -9` of a container's first process at the moment when a file (a pattern) is there; waits for that."""
    first = processes(namespace, pod, container)[0]
    # Before all others: on a busy machine what it waits for would be over by its turn.
    command = ("nice", "-n", "-20", "sh", "-c", _KILL_WHEN_THERE, "sh", str(first.pid), path)
    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(namespace.cluster.engine.inside, first.node, *command, timeout_s=WITHIN_S)
        yield
        killing.result()


def freeze(namespace: Namespace, pod: str, container: str) -> None:
    """Stops every process of a container: it is there, and does nothing."""
    _signal(namespace, "STOP", processes(namespace, pod, container))


def thaw(namespace: Namespace, pod: str, container: str) -> None:
    """Lets the processes of a frozen container go on."""
    _signal(namespace, "CONT", processes(namespace, pod, container))


def cut_off(namespace: Namespace, pod: str, container: str) -> None:
    """Takes the pod's network away: nothing in or out, no connection is closed."""
    _link(namespace, pod, container, "down")


def reconnect(namespace: Namespace, pod: str, container: str) -> None:
    """Gives a pod its network back, with its routes."""
    _link(namespace, pod, container, "up")


def _link(namespace: Namespace, pod: str, container: str, to: str) -> None:
    """The node's end of the pod's link goes down or up: routes inside the pod stay."""
    first = processes(namespace, pod, container)[0]
    namespace.cluster.engine.inside(first.node, "sh", "-c", _LINK, "sh", str(first.pid), to)


def _signal(namespace: Namespace, name: str, targets: list[Process]) -> None:
    for node in {process.node for process in targets}:
        pids = [str(process.pid) for process in targets if process.node == node]
        # One that ended meanwhile is no failure of the test.
        namespace.cluster.engine.inside(node, "sh", "-c", f"kill -{name} {' '.join(pids)} 2>/dev/null || true")


def _running_id(found: Object, container: str) -> str:
    """The id of a container that runs; empty while it does not."""
    status = found["status"]
    for state in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
        if state["name"] == container and "running" in state["state"]:
            return str(state["containerID"]).removeprefix("containerd://")
    return ""
