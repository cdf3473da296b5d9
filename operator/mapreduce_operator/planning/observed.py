"""What one pass has seen: the job's object, its children, what coordinator and cluster say. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mapreduce.model import JobSpec
from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce_operator.coordinatorreport import CoordinatorReport
from mapreduce_operator.facts import Batch, Claim, EventFact, Node, Pod, StatefulSet
from mapreduce_operator.manifests import volumes
from mapreduce_operator.manifests.pods import Job
from mapreduce_operator.manifests.snapshot import Snapshot
from mapreduce_operator.naming import Names
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.settings import Settings
from mapreduce_operator.spec import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What exists of a job in the cluster."""

    stateful_set: StatefulSet | None = None
    workers: Batch | None = None
    cleanup: Batch | None = None
    pods: tuple[Pod, ...] = ()
    others: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of all other children that are known to exist."""

    @property
    def coordinator(self) -> Pod | None:
        """The coordinator's pod."""
        return next((pod for pod in self.pods if pod.component == "coordinator"), None)

    @property
    def worker_pods(self) -> tuple[Pod, ...]:
        """The workers' pods, ended ones too."""
        return tuple(pod for pod in self.pods if pod.component == "worker")

    @property
    def live_workers(self) -> tuple[Pod, ...]:
        """Workers' pods that have not ended."""
        return tuple(pod for pod in self.worker_pods if not pod.is_over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the coordinator said when it was asked; None of both when it was not, or did not answer."""

    progress: Progress | None = None
    report: CoordinatorReport | None = None
    problem: str = ""
    """Why there is no answer, when there should have been one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMap:
    """The ConfigMap that `code.configMapRef` names, as it is now."""

    text: str | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that a plan depends on."""

    job: Resource
    now_s: float
    settings: Settings
    children: Children = Children()
    snapshot: Snapshot | None = None
    """What the job was started with, where this pass had to read it."""
    claims: dict[str, Claim | None] = field(default_factory=dict)
    """Claims that the specification names, where this pass had to look: None does not exist."""
    code: CodeMap | None = None
    """The code's ConfigMap, where there is one and this pass looked."""
    answer: Answer = Answer()
    nodes: dict[str, Node] = field(default_factory=dict)
    """Nodes of pods that are not well."""
    events: tuple[EventFact, ...] = ()
    """Words of the cluster about children that are not well."""
    departed: tuple[Pod, ...] = ()
    """Workers' pods that are gone, as they were last seen."""
    told: frozenset[str] = frozenset()
    """Workers of whose end the coordinator was told."""
    refusal: Problem | None = None
    """What the API server refused for good, in this pass."""
    trouble: Problem | None = None
    """What kept this pass from being carried out; the next one tries again."""

    @property
    def names(self) -> Names:
        """The names of the children."""
        return self.job.names

    @cached_property
    def is_started(self) -> bool:
        """Whether the job was taken up: its snapshot exists."""
        return self.snapshot is not None or self.job.status.start_time is not None or self.has("ConfigMap")

    @cached_property
    def spec(self) -> JobSpec | None:
        """What the job is: its snapshot, or before the start its object; None when that cannot be read."""
        return self.snapshot.spec if self.snapshot is not None else self.job.spec

    def has(self, kind: str) -> bool:
        """Whether the child of that kind is known to exist, for kinds of which a job has one."""
        return any(one == kind for one, _ in self.children.others)

    @cached_property
    def wanted(self) -> Wanted:
        """What a job may change at any time, as its object says now."""
        return wanted(self.job.spec, self.job.raw_spec)

    @cached_property
    def ready_workers(self) -> int:
        """How many workers are ready."""
        return sum(pod.is_ready and not pod.is_going for pod in self.children.live_workers)

    @cached_property
    def is_coordinator_up(self) -> bool:
        """Whether the coordinator serves its workers: it answers, or its pod is ready all the same."""
        pod = self.children.coordinator
        return self.answer.progress is not None or (pod is not None and pod.is_ready and not pod.is_going)

    @cached_property
    def can_work(self) -> bool:
        """Whether tasks can run: the coordinator is up, and some worker is ready."""
        return self.is_coordinator_up and self.ready_workers > 0

    @cached_property
    def has_run(self) -> bool:
        """Whether pods of this job exist or should."""
        children = self.children
        return children.stateful_set is not None or children.workers is not None or bool(children.pods)

    def manifests(self) -> Job | None:
        """What manifests are made from."""
        if self.spec is None:
            return None
        return Job(
            names=self.names,
            namespace=self.job.namespace,
            spec=self.spec,
            settings=self.settings,
            single_node=bool(self.claims_for_one_node(self.spec)),
        )

    def claims_for_one_node(self, spec: JobSpec) -> tuple[str, ...]:
        """Claims that coordinator and workers share although they can be mounted on one node only."""
        made = {self.names.log_claim: spec.storage.log.claim_template, self.names.runs_claim: None}
        if spec.storage.runs.claim_template is not None:
            made[self.names.runs_claim] = spec.storage.runs.claim_template
        found = volumes.sources(spec, self.names)
        if spec.output.claim_template is not None:
            made[found.output.name] = spec.output.claim_template
        result = []
        for name in found.shared_claims:
            claim, template = self.claims.get(name), made.get(name)
            if claim is not None:
                is_single = claim.is_for_one_node
            else:
                is_single = name in made and (template is None or template.access_mode == "ReadWriteOnce")
            if is_single:
                result.append(name)
        return tuple(result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a running job follows of its object."""

    replicas: int
    is_suspended: bool
    active_deadline_s: int | None
    pending_deadline_s: int | None
    ttl_s: int | None


def wanted(spec: JobSpec | None, raw: dict[str, Any]) -> Wanted:
    """Those fields; of an object that was edited into something unreadable, the ones that can be read."""
    if spec is not None:
        return Wanted(
            replicas=spec.workers.replicas,
            is_suspended=spec.suspend,
            active_deadline_s=spec.active_deadline_seconds,
            pending_deadline_s=spec.pending_deadline_seconds,
            ttl_s=spec.ttl_seconds_after_finished,
        )
    workers = raw.get("workers")
    replicas = _whole(workers.get("replicas")) if isinstance(workers, dict) else None
    return Wanted(
        replicas=2 if replicas is None else replicas,
        is_suspended=raw.get("suspend") is True,
        active_deadline_s=_whole(raw.get("activeDeadlineSeconds")),
        pending_deadline_s=_whole(raw.get("pendingDeadlineSeconds")),
        ttl_s=_whole(raw.get("ttlSecondsAfterFinished")),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
