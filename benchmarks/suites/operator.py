"""The operator alone: how many jobs it takes on in a minute, what a thousand cost it, how large a status becomes.

Against a real etcd and kube-apiserver without nodes, all on this machine; controllers, kubelets and coordinators are
scripted by this process, with the modules that the operator's tests use. What is measured is the operator's process:
its memory and CPU from /proc. API server, etcd and this process share the cores with it, so rates are lower bounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench import Bench
from benchmarks.contest import say
from cluster.controlplane import ControlPlane
from cluster.kubeconfigs import kubeconfig
from mapreduce.protocol.messages import AttemptId, Failure, FailureSample
from mapreduce_operator.naming import JOB_LABEL
from tests.support.coordinatorstandin import stand_in
from tests.support.kubeapi import KubeApi, Object, is_true
from tests.support.operatorprocess import LEASE_NAMESPACE, OperatorProcess, operator_process
from tests.support.operatorrights import give_operator_rights
from tests.support.operatorstage import Job, Stage, job_manifest
from tests.support.scriptedcluster import ScriptedCluster, running
from tests.support.tree import ROOT

NAMESPACE = "bench"
DEFINITION = ROOT / "crds" / "mapreducejobs.mapreduce.dev.yaml"
#: The operator's own settings; the tests shorten them, which would be another workload.
USUAL = {
    "MR_LEASE_SECONDS": "15",
    "MR_WATCH_SECONDS": "120",
    "MR_REQUEST_SECONDS": "30",
    "MR_POLL_SECONDS": "2",
    "MR_RESYNC_SECONDS": "300",
}
REST_S = 20.0
MIB = 1 << 20


def run_operator(bench: Bench) -> dict[str, Any]:
    """Jobs accepted in a minute, memory and CPU with all of them running, and the size of a large job's status."""
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane.running(bench.rules.work / "plane"))
        api = stack.enter_context(closing(KubeApi(plane.url, plane.ca_file, plane.token)))
        coordinators = stack.enter_context(stand_in())
        _prepare(api)
        token = give_operator_rights(api, LEASE_NAMESPACE)
        file = bench.rules.work / "kubeconfig"
        file.write_text(kubeconfig(plane.url, plane.ca_file.read_bytes(), token))
        operator = stack.enter_context(operator_process(bench.rules.work, file, coordinators.url, environment=USUAL))
        operator.until_healthy()
        stage = _Stage(api, coordinators, operator, ScriptedCluster(api, NAMESPACE))
        idle = operator.memory_bytes()
        report: dict[str, Any] = {"jobs": bench.jobs, "idle_mib": _mib(idle)}
        return report | _accept(bench, stage) | _run(stage) | _large_status(stage)


class _Stage(Stage):
    """A stage without a proxy: nothing is between operator and API server."""

    def __init__(self, api: KubeApi, coordinators: Any, operator: OperatorProcess, cluster: ScriptedCluster) -> None:
        super().__init__(api, None, coordinators, operator, cluster)  # type: ignore[arg-type] # not asked for here

    def story(self, what: str = "") -> str:
        return f"waited in vain for {what}\n{self.operator.said[-4000:]}"


def _prepare(api: KubeApi) -> None:
    definition = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    name = definition["metadata"]["name"]
    api.create("customresourcedefinitions", "", definition)
    _wait(lambda: is_true(api.get("customresourcedefinitions", "", name), "Established"), 30)
    _wait(lambda: api.get("mapreducejobs", "default", "none") is None and bool(_is_served(api)), 30)
    api.create("namespaces", "", {"metadata": {"name": NAMESPACE}})


def _is_served(api: KubeApi) -> bool:
    return bool(api.ask("GET", "/apis/mapreduce.dev/v1alpha1").get("resources"))


def _accept(bench: Bench, stage: _Stage) -> dict[str, Any]:
    """From the first submission until every job has all its children."""
    started_s, cpu_s = time.monotonic(), _cpu_s(stage.operator)
    for number in range(bench.jobs):
        manifest = job_manifest(f"job-{number:04d}", workers={"replicas": 1})
        made = stage.api.create("mapreducejobs", NAMESPACE, manifest)
        stage.jobs.append(Job(stage, made["metadata"]["name"], made["metadata"]["uid"]))
    submitted_s = time.monotonic() - started_s
    _wait(lambda: _children(stage.api) >= bench.jobs, bench.rules.timeout_s, "children")
    took_s = time.monotonic() - started_s
    say(f"  {bench.jobs} jobs submitted in {submitted_s:.1f} s, all children after {took_s:.1f} s")
    return {
        "submitted_s": round(submitted_s, 1),
        "accepted_s": round(took_s, 1),
        "accepted_per_minute": round(bench.jobs / took_s * 60),
        "accepting_cpu_ms_a_job": round((_cpu_s(stage.operator) - cpu_s) / bench.jobs * 1e3, 1),
        "memory_mib_when_accepted": _mib(stage.operator.memory_bytes()),
    }


def _children(api: KubeApi) -> int:
    """Jobs that have the last of the children that are made at the start."""
    return min(len(api.list(resource, NAMESPACE)) for resource in ("statefulsets", "services", "configmaps"))


def _run(stage: _Stage) -> dict[str, Any]:
    """All coordinators answer and all workers are ready; then a while of nothing but progress."""
    for job, stateful_set, workers in zip(
        stage.jobs, _by_job(stage.api, "statefulsets"), _by_job(stage.api, "jobs"), strict=True
    ):
        _create_pod(stage.api, stateful_set, job.names.coordinator_pod)
        _create_pod(stage.api, workers, f"{job.names.workers}-00001")
        job.serve()
        job.coordinator.set("Mapping", (3, 8), (0, 2))
    say(f"  {len(stage.jobs)} jobs have their pods")

    def is_all_mapping() -> bool:
        found = stage.api.list("mapreducejobs", NAMESPACE)
        return sum(bool(job["status"].get("maps", {}).get("committed")) for job in found) == len(stage.jobs)

    _wait(is_all_mapping, 1_800, "progress of every job", every_s=5)
    cpu_s, calls, began_s = _cpu_s(stage.operator), _asked(stage), time.monotonic()
    time.sleep(REST_S)
    took_s = time.monotonic() - began_s
    return {
        "running_mib": _mib(stage.operator.memory_bytes()),
        "running_peak_mib": _mib(_peak_bytes(stage.operator)),
        "running_cpu_share": round((_cpu_s(stage.operator) - cpu_s) / took_s, 3),
        "coordinator_calls_per_s": round((_asked(stage) - calls) / took_s, 1),
    }


def _by_job(api: KubeApi, resource: str) -> list[Object]:
    """Children of a kind, in the order of their jobs."""
    return sorted(api.list(resource, NAMESPACE), key=lambda found: str(found["metadata"]["labels"][JOB_LABEL]))


def _create_pod(api: KubeApi, owner: Object, name: str) -> None:
    template = owner["spec"]["template"]
    about = {"name": name, "labels": template["metadata"]["labels"]}
    pod = api.create("pods", NAMESPACE, {"metadata": about, "spec": template["spec"]})
    api.patch("pods", NAMESPACE, name, {"status": running(pod)}, "status")


def _asked(stage: _Stage) -> int:
    """Calls that all coordinators got."""
    return sum(len(job.coordinator.calls) for job in stage.jobs)


def _large_status(stage: _Stage) -> dict[str, Any]:
    """The largest that a status can become: a hundred thousand tasks, all texts and counters as long as may be."""
    job = stage.jobs[0]
    counters = {f"counter-{number:04d}-{'n' * 100}": 1 << 60 for number in range(1_000)}
    texts = {"reason": "TaskFailed", "message": "m" * 60_000}
    job.coordinator.set("Failed", (99_999, 100_000), (0, 1_000), **texts, counters=counters, failures=_failures())
    _wait(lambda: job.is_true("Failed"), 120, "the end of a job")
    return {"status_bytes": len(json.dumps(job.status, separators=(",", ":")))}


def _failures() -> tuple[FailureSample, ...]:
    words = Failure(failure_class="user", message="m" * 8_000, traceback="t" * 60_000, record="r" * 4_000)
    made = (AttemptId(job=1, kind="map", index=index, attempt=1, epoch=1) for index in range(10))
    return tuple(FailureSample(id=one, failure=words, at=time.time(), worker="w" * 100) for one in made)


def _wait(is_so: Callable[[], bool], within_s: float, what: str = "the API server", every_s: float = 0.5) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(every_s)


def _cpu_s(operator: OperatorProcess) -> float:
    assert operator.process is not None
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _peak_bytes(operator: OperatorProcess) -> int:
    assert operator.process is not None
    for line in Path(f"/proc/{operator.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _mib(size: int) -> float:
    return round(size / MIB, 1)
