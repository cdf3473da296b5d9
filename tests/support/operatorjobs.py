"""Builders for tests of the operator: jobs as the API server gives them, children as the operator keeps them."""

from __future__ import annotations

from typing import Any

import msgspec

from mapreduce.protocol.messages import JobState, TaskCounts
from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce_operator import spec, status, times
from mapreduce_operator.coordinatorreport import CoordinatorReport
from mapreduce_operator.facts import Batch, Claim, Container, Ending, Pod, StatefulSet
from mapreduce_operator.manifests import snapshot, volumes
from mapreduce_operator.manifests.pods import Job
from mapreduce_operator.naming import API_VERSION, FINALIZER, KIND, Names
from mapreduce_operator.planning.observed import Answer, Children, Observed
from mapreduce_operator.planning.plan import Plan, decide, plan
from mapreduce_operator.settings import Settings
from mapreduce_operator.spec import Resource

Raw = dict[str, Any]

NOW_S = 1_800_000_000.0
UID = "0a1b2c3d-1111-2222-3333-444455556666"
SETTINGS = Settings(worker_image="worker:1", identity="operator-0")
CODE = "def mapper(line):\n    yield line, 1\n"


def job_spec(**fields: Any) -> Raw:
    """The specification of a small job; `fields` replace its own, None removes them."""
    usual = {
        "code": {"inline": CODE},
        "inputs": [{"uri": "pvc://texts/books"}],
        "output": {"uri": "pvc://results/count"},
        "workers": {"replicas": 2},
        **fields,
    }
    return {name: value for name, value in usual.items() if value is not None}


def raw_job(
    name: str = "count",
    *,
    uid: str = UID,
    status: Raw | None = None,
    finalizers: tuple[str, ...] = (),
    deleted_s: float | None = None,
    **fields: Any,
) -> Raw:
    """A `MapReduceJob` as the API server gives it."""
    metadata: Raw = {
        "name": name,
        "namespace": "team",
        "uid": uid,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": times.text(NOW_S - 60),
        "finalizers": list(finalizers),
    }
    if deleted_s is not None:
        metadata["deletionTimestamp"] = times.text(deleted_s)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": job_spec(**fields),
        **({"status": status} if status is not None else {}),
    }


def job(**options: Any) -> Resource:
    """A job, read."""
    return spec.read(raw_job(**options))


def manifests(single_node: bool = False, settings: Settings = SETTINGS, **options: Any) -> Job:
    """What manifests are made from."""
    resource = job(**options)
    assert resource.spec is not None, resource.problem
    return Job(
        names=resource.names,
        namespace=resource.namespace,
        spec=resource.spec,
        settings=settings,
        single_node=single_node,
    )


def running(name: str, *, ready: bool = True, restarts: int = 0) -> Container:
    """A container that runs."""
    return Container(name=name, is_ready=ready, restarts=restarts, state="running")


def waiting(name: str, reason: str, message: str = "", ending: Ending | None = None, restarts: int = 0) -> Container:
    """A container that waits."""
    return Container(
        name=name, is_ready=False, restarts=restarts, state="waiting", reason=reason, message=message, ending=ending
    )


def ended(name: str, exit_code: int, message: str = "", reason: str = "Error", at_s: float = NOW_S) -> Container:
    """A container whose process ended."""
    end = Ending(exit_code=exit_code, reason=reason, message=message, at_s=at_s)
    return Container(name=name, is_ready=False, restarts=0, state="terminated", ending=end)


def pod(name: str, component: str, **fields: Any) -> Pod:
    """A pod, ready unless said otherwise."""
    usual: Raw = {
        "uid": f"uid-of-{name}",
        "phase": "Running",
        "node": "node-a",
        "is_ready": True,
        "created_s": NOW_S - 30,
        "deadline_s": None,
    }
    return Pod(name=name, component=component, **{**usual, **fields})


def worker(number: int, **fields: Any) -> Pod:
    """A worker's pod."""
    names = Names("count", UID)
    usual: Raw = {"containers": (running("executor"), running("agent"))}
    return pod(f"{names.workers}-{number}", "worker", **{**usual, **fields})


def coordinator(**fields: Any) -> Pod:
    """The coordinator's pod."""
    usual: Raw = {"containers": (running("coordinator"),)}
    return pod(Names("count", UID).coordinator_pod, "coordinator", **{**usual, **fields})


def stateful_set(**fields: Any) -> StatefulSet:
    """The coordinator's StatefulSet."""
    usual: Raw = {"uid": "uid-of-set", "replicas": 1, "is_going": False, "created_s": NOW_S - 40}
    return StatefulSet(name=Names("count", UID).coordinator, **{**usual, **fields})


def batch(**fields: Any) -> Batch:
    """The workers' Job."""
    usual: Raw = {
        "name": Names("count", UID).workers,
        "uid": "uid-of-workers",
        "parallelism": 2,
        "is_suspended": False,
        "active": 2,
        "succeeded": 0,
        "is_complete": False,
        "is_failed": False,
        "is_going": False,
        "created_s": NOW_S - 40,
    }
    return Batch(**{**usual, **fields})


def claim(name: str, *modes: str) -> Claim:
    """A claim that is bound."""
    return Claim(name=name, access_modes=frozenset(modes or ("ReadWriteMany",)), phase="Bound")


def given_claims(resource: Resource, *modes: str) -> dict[str, Claim | None]:
    """Every claim that a job names, there and bound."""
    assert resource.spec is not None, resource.problem
    return {name: claim(name, *modes) for name in volumes.sources(resource.spec, resource.names).named_claims}


def progress(state: JobState = "Mapping", **fields: Any) -> Progress:
    """What a coordinator says of its job."""
    usual: Raw = {"maps": TaskCounts(total=8, committed=3, running=2), "reduces": TaskCounts(total=2)}
    return Progress(job=1, name="count", state=state, **{**usual, **fields})


def answer(state: JobState = "Mapping", report: CoordinatorReport | None = None, **fields: Any) -> Answer:
    """A coordinator's answer."""
    return Answer(progress=progress(state, **fields), report=report or CoordinatorReport(epoch=1))


def everything_made(resource: Resource) -> frozenset[tuple[str, str]]:
    """All children that are not watched."""
    names = resource.names
    return frozenset(
        {
            ("ConfigMap", names.config_map),
            ("Secret", names.admin_secret),
            ("Secret", names.worker_secret),
            ("Service", names.coordinator),
            ("PersistentVolumeClaim", names.log_claim),
        }
    )


def new(**options: Any) -> Observed:
    """A job of which nothing exists, whose claims are there."""
    resource = job(**options)
    claims = given_claims(resource) if resource.spec is not None else {}
    return Observed(job=resource, now_s=NOW_S, settings=SETTINGS, claims=claims)


def started(pods: tuple[Pod, ...] | None = None, fields: Raw | None = None, **options: Any) -> Observed:
    """A job at work, all pods ready; `fields` replace what was seen, `options` make the job."""
    conditions = options.pop("conditions", ())
    given = options.pop("status", {})
    begun = {"startTime": times.text(NOW_S - 50), "observedGeneration": 1, "conditions": list(conditions), **given}
    options.setdefault("status", begun)
    options.setdefault("finalizers", (FINALIZER,))
    resource = job(**options)
    raw_spec = resource.raw_spec
    children = Children(
        stateful_set=stateful_set(),
        workers=batch(),
        pods=pods if pods is not None else (coordinator(), worker(0), worker(1)),
        others=everything_made(resource),
    )
    begun["specDigest"] = snapshot.spec_digest(raw_spec)
    begun["codeDigest"] = snapshot.code_digest(raw_spec, None)
    usual: Raw = {
        "job": spec.read(raw_job(**{**options, "status": begun})),
        "now_s": NOW_S,
        "settings": SETTINGS,
        "children": children,
        "answer": answer(),
    }
    return Observed(**{**usual, **(fields or {})})


def condition(kind: str, value: str, reason: str, *, at_s: float = NOW_S - 40, message: str = "") -> Raw:
    """A condition as it stands in a status."""
    return {
        "type": kind,
        "status": value,
        "observedGeneration": 1,
        "lastTransitionTime": times.text(at_s),
        "reason": reason,
        "message": message,
    }


def conditions_of(seen: Observed) -> dict[str, tuple[str, str]]:
    """What a pass would report: status and reason of each condition."""
    reported = status.report(seen, decide(seen))
    return {one.type: (one.status, one.reason) for one in reported.conditions}


def message_of(seen: Observed, kind: str) -> str:
    """The words of one condition that a pass would report."""
    reported = status.report(seen, decide(seen))
    return next(one.message for one in reported.conditions if one.type == kind)


def actions_of(seen: Observed) -> list[str]:
    """The names of what a pass would do, in order."""
    return [type(action).__name__ for action in plan(seen).actions]


def reported(made: Plan) -> Raw:
    """A plan's status as it would be stored."""
    assert made.status is not None
    stored: Raw = msgspec.json.decode(msgspec.json.encode(made.status))
    return stored
