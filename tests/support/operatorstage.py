"""One namespace with the real operator at work in it, and the script of everything around: cluster and coordinators.

The operator is shared by all tests of a session, because its start is what takes time; each test has a namespace of its
own. A test that kills, stops or deafens it need not tidy up: the next test finds it well.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_operator.naming import API_VERSION, COMPONENT_LABEL, KIND, UID_LABEL, Names
from tests.support.apicalls import Call
from tests.support.apiproxy import ApiProxy
from tests.support.coordinatorstandin import Coordinator, StandIn, progress
from tests.support.kubeapi import KubeApi, Object, condition, is_true
from tests.support.operatorprocess import OperatorProcess
from tests.support.scriptedcluster import PodScript, ScriptedCluster, ended, is_ready, running

PATIENCE_S = 90.0
_PAUSE_S = 0.1
_LOOK_S = 0.5
CODE = """
def mapper(line):
    for word in line.split():
        yield word, 1

def reducer(word, counts):
    yield word, sum(counts)
"""


def job_manifest(name: str, **spec: Any) -> Object:
    """A word count over a line of text; `spec` replaces fields of its specification."""
    usual = {
        "code": {"inline": CODE},
        "inputs": [{"inline": "one two two\n"}],
        "output": {"uri": "pvc://results/out", "claimTemplate": {"size": "1Mi"}},
        "reducer": "reducer",
        "workers": {"replicas": 2},
    }
    about = {"generateName": name} if name.endswith("-") else {"name": name}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": about, "spec": {**usual, **spec}}


@dataclass
class Stage:
    """The namespace of one test."""

    api: KubeApi
    proxy: ApiProxy
    stand_in: StandIn
    operator: OperatorProcess
    cluster: ScriptedCluster
    first_call: int = 0
    revives_operator: bool = False
    """Whether an operator that ended is started again, as its Deployment would."""
    needs_operator: bool = True
    """Whether a test makes no sense any more when the operator has ended."""
    jobs: list[Job] = field(default_factory=list)
    worker: PodScript = running
    """What becomes of workers' pods, as long as their coordinator does not say that the job is done."""
    cleanup: PodScript = ended(0, reason="Completed")  # noqa: RUF009 - a function, and no state
    """What becomes of pods that clean up after a deleted job."""

    _seen: tuple[int, int] = (0, 0)
    _collected: tuple[int, int] = (0, 0)
    _synced_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.cluster.worker = self._script
        self._collected = self._deletions()

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def submit(self, name: str = "count", **spec: Any) -> Job:
        """Creates a job."""
        created = self.api.create("mapreducejobs", self.namespace, job_manifest(name, **spec))
        job = Job(self, created["metadata"]["name"], created["metadata"]["uid"])
        self.jobs.append(job)
        return job

    def sync(self) -> None:
        """One round of the cluster; a coordinator answers as long as its pod is ready."""
        is_short_of_time = self.needs_operator and self.operator.has_lost_its_lease
        if not self.operator.is_running and (self.revives_operator or is_short_of_time):
            self.operator.start()  # as its Deployment does
        self._seen, self._synced_s = self._news(), time.monotonic()
        before, self._collected = self._collected, self._deletions()
        self.cluster.sync(collects=before != self._collected)
        ready = {pod["metadata"]["name"] for pod in self.cluster.pods() if is_ready(pod)}
        for job in self.jobs:
            if job.names.coordinator_pod in ready:
                job.serve()
            else:
                self.stand_in.remove(self.namespace, job.names.coordinator)

    def until(
        self, is_so: Callable[[], bool], what: str, *, within_s: float = PATIENCE_S, pause_s: float = _PAUSE_S
    ) -> float:
        """Plays rounds, with a pause between two of them, until it is so; the seconds it took."""
        started_s = time.monotonic()
        self.sync()
        while True:
            if is_so():
                return time.monotonic() - started_s
            is_expected = self.operator.is_running or self.operator.has_lost_its_lease  # then the next round starts it
            assert is_expected or not self.needs_operator, self.story(what)
            assert time.monotonic() - started_s < within_s, self.story(what)
            time.sleep(pause_s)
            self._sync_if_due()

    def until_quiet(self, quiet_s: float = 1.0) -> None:
        """Plays rounds until the operator has changed nothing in this namespace for some time."""
        count, since_s = len(self.changes()), time.monotonic()
        deadline_s = since_s + PATIENCE_S
        while time.monotonic() - since_s < quiet_s:
            assert time.monotonic() < deadline_s, self.story(f"{quiet_s:g} seconds without a change by the operator")
            self._sync_if_due()
            if len(self.changes()) != count:
                count, since_s = len(self.changes()), time.monotonic()
            time.sleep(_PAUSE_S)

    def _sync_if_due(self) -> None:
        """A round where operator or test changed something: looking in vain would be most of the server's work."""
        if self._news() != self._seen or time.monotonic() - self._synced_s >= _LOOK_S:
            self.sync()

    def _news(self) -> tuple[int, int]:
        return self.proxy.news, self.api.writes

    def _deletions(self) -> tuple[int, int]:
        return self.proxy.deletions, self.api.deletions

    def _script(self, pod: Object) -> Object | None:
        labels = pod["metadata"]["labels"]
        if labels.get(COMPONENT_LABEL) == "cleanup":
            return self.cleanup(pod)
        uid = labels.get(UID_LABEL)
        is_done = any(job.uid == uid and job.is_done for job in self.jobs)
        return ended(0, reason="Completed")(pod) if is_done else self.worker(pod)

    def changes(self) -> list[Call]:
        """What the operator has changed in this namespace."""
        return [call for call in self.proxy.changes(self.first_call) if call.namespace == self.namespace]

    def story(self, what: str = "") -> str:
        """How things stand, for a test that fails."""
        objects = [self.api.get("mapreducejobs", self.namespace, job.name) for job in self.jobs]
        statuses = [json.dumps((found or {}).get("status"), indent=1) for found in objects]
        calls = [str(call) for call in self.proxy.calls[self.first_call :] if call.namespace == self.namespace][-25:]
        parts = [f"waited in vain for: {what}", *statuses, str(self.cluster.children()), *self.cluster.refused[-3:]]
        return "\n".join([*parts, *calls, self.operator.said[-6000:]])


@dataclass
class Job:
    """One job of a stage, by name and UID: one that is created again under the same name is another one."""

    stage: Stage
    name: str
    uid: str
    _coordinator: Coordinator | None = None

    @property
    def names(self) -> Names:
        return Names(self.name, self.uid)

    @property
    def content(self) -> Object:
        """The object; empty when it is gone."""
        found = self.stage.api.get("mapreducejobs", self.stage.namespace, self.name)
        return found if found is not None and found["metadata"]["uid"] == self.uid else {}

    @property
    def status(self) -> Object:
        status: Object = self.content.get("status", {})
        return status

    def is_true(self, kind: str) -> bool:
        return is_true(self.content, kind)

    def reason(self, kind: str) -> str:
        return str(condition(self.content, kind).get("reason", ""))

    def condition(self, kind: str) -> Object:
        return condition(self.content, kind)

    def patch(self, **spec: Any) -> None:
        """Changes fields of the specification."""
        self.stage.api.patch("mapreducejobs", self.stage.namespace, self.name, {"spec": spec})

    def delete(self, **options: Any) -> None:
        self.stage.api.delete("mapreducejobs", self.stage.namespace, self.name, **options)

    def child(self, resource: str, name: str) -> Object | None:
        return self.stage.api.get(resource, self.stage.namespace, name)

    @property
    def workers(self) -> Object:
        """The batch Job of its workers; empty when there is none."""
        return self.child("jobs", self.names.workers) or {}

    @property
    def coordinator(self) -> Coordinator:
        found = self.stage.stand_in.find(self.stage.namespace, self.names.coordinator)
        assert found is not None, self.stage.story("a coordinator")
        return found

    def _is_answering(self) -> bool:
        """Whether its coordinator does: the conditions may be of the one before, whose pod was deleted."""
        return self.stage.stand_in.find(self.stage.namespace, self.names.coordinator) is not None

    @property
    def pods(self) -> list[Object]:
        return self.stage.cluster.pods(f"mapreduce.dev/job-uid={self.uid}")

    @property
    def live_pods(self) -> list[Object]:
        """Those that have not ended."""
        return [pod for pod in self.pods if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]

    @property
    def is_done(self) -> bool:
        """What its coordinator tells the workers."""
        return self._coordinator is not None and self._coordinator.status.state in FINAL_STATES

    def serve(self) -> None:
        """Its coordinator answers, by the token of its own Secret; goes on from where it was."""
        if not self._is_answering():
            if self._coordinator is None:
                self._coordinator = Coordinator(progress(self.name, "Planning"))
            secret = self.child("secrets", self.names.admin_secret)
            assert secret is not None, f"the coordinator of {self.name} started without its token"
            token = base64.b64decode(secret["data"]["token"]).decode()
            assert self._coordinator.token in {None, token}, f"the token of {self.name} changed"
            self._coordinator.token = token
            self.stage.stand_in.put(self.stage.namespace, self.names.coordinator, self._coordinator)

    # ------------------------------------------------------------------------------------------------- a job's life
    def until_started(self) -> None:
        """Its coordinator answers and its workers are ready, and the operator knows."""
        self.stage.until(
            lambda: self._is_answering() and self.is_true("WorkersReady"),
            f"the coordinator and ready workers of {self.name}",
        )

    def until_mapping(self, committed: int = 3, total: int = 8) -> None:
        self.until_started()
        self.coordinator.set("Mapping", (committed, total), (0, 2))
        self.stage.until(
            lambda: self.status.get("maps", {}).get("committed") == committed, f"{committed} maps of {self.name}"
        )

    def until_reducing(self) -> None:
        self.until_mapping()
        self.coordinator.set("Reducing", (8, 8), (1, 2))
        self.stage.until(lambda: self.is_true("MapsComplete"), f"all maps of {self.name}")

    def complete(self) -> None:
        """From wherever it is to its end, with everything committed."""
        self.until_started()
        self.coordinator.set("Complete", (8, 8), (2, 2), output="/mr/claims/results/out", output_records=3)
        self.stage.until(lambda: self.is_true("Finished"), f"the end of {self.name}")
        assert self.is_true("Complete"), self.stage.story("Complete")

    def fail(self, reason: str = "TaskFailed", message: str = "map-3 failed") -> None:
        self.until_started()
        self.coordinator.set("Failed", (3, 8), (0, 2), reason=reason, message=message)
        self.stage.until(lambda: self.is_true("Finished"), f"the failure of {self.name}")
