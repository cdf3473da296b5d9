"""A job in a cluster against a plain one: from `kubectl apply` to Complete, and from a lost coordinator to progress.

On the cluster of `make cluster` with the operator of `make deploy`; images are on its nodes. The plain job is what
anybody would write: two pods that mount one new claim and work for a second. Both are applied, waited for and timed
by the same `kubectl` commands, in turn.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contest import say
from cluster import kindcluster, productimages
from cluster.nodes import Cluster
from tests.support import clusterjobs
from tests.support.claimfiles import claim
from tests.support.gatedjobs import GatedJob, staged
from tests.support.kubecalls import Namespace, Object, own_namespace
from tests.support.podprocesses import lose_pod

WORK_S = 1.0
_WITHIN_S = 300


def run_cluster(bench: Bench) -> dict[str, Any]:
    """Medians in seconds, each with its least and greatest; and what a job of ours takes more than a plain one."""
    ours: list[float] = []
    plain: list[float] = []
    with _namespace(_cluster(), "jobs") as namespace:
        for number in range(bench.rules.runs):
            plain.append(_plain_s(namespace, f"plain-{number}"))
            ours.append(_ours_s(namespace, f"ours-{number}"))
            say(f"  plain {plain[-1]:6.2f} s, ours {ours[-1]:6.2f} s")
    with _namespace(_cluster(), "losses") as namespace, staged(namespace) as stage:
        losses = []
        for number in range(bench.rules.runs):
            job = stage.start(f"loses-{number}", "Peer", "map-begin")
            losses.append(_progress_after_loss_s(job))
            clusterjobs.delete_and_check(namespace, job.found())
            say(f"  coordinator lost to progress {losses[-1]:6.2f} s")
    more = [mine - other for mine, other in zip(ours, plain, strict=True)]
    return {
        "plain_job_s": _summary(plain),
        "job_s": _summary(ours),
        "job_more_than_plain_s": _summary(more),
        "coordinator_lost_to_progress_s": _summary(losses),
    }


def _cluster() -> Cluster:
    name = kindcluster.default_name()
    found = kindcluster.current(name)
    if found is None or not found.is_answering():
        raise SystemExit(f"there is no cluster {name}: start it by `make cluster`, and the operator by `make deploy`")
    return found


@contextmanager
def _namespace(cluster: Cluster, name: str) -> Iterator[Namespace]:
    with own_namespace(cluster, f"bench-{name}-{time.time_ns() // 1_000_000_000}") as namespace:
        yield namespace


def _plain_s(namespace: Namespace, name: str) -> float:
    took_s = _timed(namespace, f"job/{name}", claim(name), _plain_job(name))
    namespace.delete("job", name)
    namespace.delete("persistentvolumeclaim", name)
    return took_s


def _ours_s(namespace: Namespace, name: str) -> float:
    code = clusterjobs.SLOW_WORDCOUNT
    manifest = clusterjobs.job(
        name,
        code=code,
        texts=["a b a\n"],
        args={"seconds_per_line": str(WORK_S)},
        output=f"pvc://{name}/counts",
        reducers=1,
    )
    took_s = _timed(namespace, f"mapreducejob/{name}", manifest)
    clusterjobs.delete_and_check(namespace, namespace.get("mapreducejob", name))
    namespace.delete("persistentvolumeclaim", name)
    return took_s


def _timed(namespace: Namespace, waited_for: str, *objects: Object) -> float:
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    started_at_s = time.monotonic()
    namespace.kubectl("apply", "--filename", "-", given=given)
    waiting = ("wait", "--for=condition=Complete", f"--timeout={_WITHIN_S}s", waited_for)
    namespace.kubectl(*waiting, timeout_s=_WITHIN_S + 10)
    return time.monotonic() - started_at_s


def _plain_job(name: str) -> Object:
    """Two pods of the same image, as secured as ours, that mount one claim."""
    container: Object = {
        "name": "work",
        "image": productimages.image_name("worker"),
        "command": ["python", "-c", f"import time; time.sleep({WORK_S})"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
    }
    spec = {"completions": 2, "parallelism": 2, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _progress_after_loss_s(job: GatedJob) -> float:
    """From the loss of the coordinator, process and pod, to a commit and the next task."""
    job.until_at("map-end", 2)
    lost_at_s = time.monotonic()
    lose_pod(job.namespace, job.coordinator(), "coordinator")
    job.open("map-end")
    job.until_at("map-end", 3)
    return time.monotonic() - lost_at_s


def _summary(values: Sequence[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 2) for name, value in found.items()}
