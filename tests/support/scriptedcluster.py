"""What controllers and kubelets do in a cluster, by script: for a control plane that has none.

`sync` does one round: StatefulSets and Jobs get the pods that they ask for, from their own templates and by the same
API that refuses what a quota or Pod Security forbids; pods get the status that the test's script gives them; what is
owned by nobody any more is collected. Nothing happens between two rounds, so a test holds the cluster still at will.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.kubeapi import CHILD_RESOURCES, ApiRefused, KubeApi, Object

#: What owners leave behind is looked for now and then, as in a real cluster: it takes a dozen lists.
_ROUNDS_PER_COLLECTION: Final = 8

#: Becomes of a pod: its status, or None to leave it as it is.
PodScript = Callable[[Object], Object | None]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def running(pod: Object) -> Object:
    """Every container runs and is ready."""
    return {
        "phase": "Running",
        "podIP": "198.18.0.9",
        "startTime": now(),
        "conditions": [_condition(kind) for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")],
        "containerStatuses": [_container(part, {"running": {"startedAt": now()}}) for part in _parts(pod)],
    }


def waiting(reason: str, message: str) -> PodScript:
    """The main container waits for ever, as kubelets say it: ImagePullBackOff, CreateContainerConfigError."""

    def status(pod: Object) -> Object:
        state = {"waiting": {"reason": reason, "message": message}}
        containers = [_container(part, state, is_ready=False) for part in _parts(pod)]
        not_ready = [_condition("PodScheduled"), _condition("Ready", "False", "ContainersNotReady")]
        return {"phase": "Pending", "startTime": now(), "conditions": not_ready, "containerStatuses": containers}

    return status


def unschedulable(message: str) -> PodScript:
    """The scheduler finds no node."""
    return lambda _: {
        "phase": "Pending",
        "conditions": [_condition("PodScheduled", "False", "Unschedulable", message)],
    }


def ended(exit_code: int, message: str = "", reason: str = "Error", restarts: int = 0) -> PodScript:
    """The main container ended. With `restarts` the kubelet backs off before the next start."""

    def status(pod: Object) -> Object:
        end = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": now()}}
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}} if restarts else end
        containers = [_container(part, state, is_ready=False) for part in _parts(pod)]
        for container in containers:
            container["restartCount"] = restarts
            container["lastState"] = end if restarts else {}
        phase = "Running" if restarts else "Failed" if exit_code else "Succeeded"
        not_ready = [_condition("PodScheduled"), _condition("Ready", "False", "ContainersNotReady")]
        return {"phase": phase, "startTime": now(), "conditions": not_ready, "containerStatuses": containers}

    return status


@dataclass
class ScriptedCluster:
    """Controllers and kubelets of one namespace."""

    api: KubeApi
    namespace: str
    coordinator: PodScript = running
    worker: PodScript = running
    refused: list[str] = field(default_factory=list)
    """What the API server said when a pod could not be created."""
    _pod_number: int = 1
    _round: int = 0
    _by_owner: dict[str, list[Object]] = field(default_factory=dict)

    def sync(self, *, collects: bool = False) -> None:
        """One round of everything; garbage, which takes most calls, is collected when asked for and now and then."""
        self._by_owner = {}
        for pod in self.pods():
            for owner in pod["metadata"].get("ownerReferences", ()):
                self._by_owner.setdefault(owner["uid"], []).append(pod)
        for stateful_set in self.api.list("statefulsets", self.namespace):
            if "deletionTimestamp" not in stateful_set["metadata"]:
                self._sync_stateful_set(stateful_set)
        for job in self.api.list("jobs", self.namespace):
            if "deletionTimestamp" not in job["metadata"]:
                self._sync_job(job)
        self._round += 1
        if collects or self._round % _ROUNDS_PER_COLLECTION == 0:
            self.collect_garbage()

    def pods(self, selector: str = "") -> list[Object]:
        return self.api.list("pods", self.namespace, selector)

    def set_pod(self, name: str, status: Object) -> None:
        """Gives one pod a status."""
        self.api.patch_if_there("pods", self.namespace, name, {"status": status}, "status")

    def children(self) -> dict[str, list[str]]:
        """Names of all that may be a job's, by resource; what is empty is left out."""
        found = {resource: self._names(resource) for resource in CHILD_RESOURCES}
        return {resource: names for resource, names in found.items() if names}

    def collect_garbage(self) -> None:
        """Deletes what has owners and none that lives, again and again until there is nothing more."""
        while True:
            objects = [
                (resource, content)
                for resource in (*CHILD_RESOURCES, "mapreducejobs")
                for content in self.api.list(resource, self.namespace)
            ]
            living = {content["metadata"]["uid"] for _, content in objects}
            orphans = [
                (resource, content["metadata"]["name"])
                for resource, content in objects
                if (owners := content["metadata"].get("ownerReferences"))
                and not living.intersection(owner["uid"] for owner in owners)
            ]
            for resource, name in orphans:
                self._erase(resource, name)
            if not orphans:
                break
        for resource, content in objects:
            about = content["metadata"]
            if "orphan" in about.get("finalizers", ()):  # how batch Jobs are deleted when nobody says otherwise
                self._set_free(objects, about["uid"])
                self._erase(resource, about["name"])
            is_ending_pod = resource == "pods" and "deletionTimestamp" in about
            if is_ending_pod or "foregroundDeletion" in about.get("finalizers", ()):
                self._erase(resource, about["name"])

    # ------------------------------------------------------------------------------------------------- controllers
    def _sync_stateful_set(self, stateful_set: Object) -> None:
        spec, name = stateful_set["spec"], stateful_set["metadata"]["name"]
        wanted = [f"{name}-{index}" for index in range(spec.get("replicas", 1))]
        pods = self._pods_of(stateful_set)
        kept = [pod for pod in pods if pod["metadata"]["name"] in wanted]
        self._end([pod for pod in pods if pod not in kept])
        there = {pod["metadata"]["name"] for pod in kept}
        kept += self._create_pods(stateful_set, "apps/v1", "StatefulSet", [pod for pod in wanted if pod not in there])
        kept = [self._scripted(pod, self.coordinator) for pod in kept]
        ready = sum(is_ready(pod) for pod in kept)
        counts = {"replicas": len(kept), "readyReplicas": ready, "availableReplicas": ready}
        status = {"observedGeneration": stateful_set["metadata"]["generation"], **counts}
        self._set_status("statefulsets", stateful_set, status)

    def _sync_job(self, job: Object) -> None:
        spec, name = job["spec"], job["metadata"]["name"]
        wanted = 0 if spec.get("suspend") or is_over(job) else spec.get("parallelism", 1)
        pods = self._pods_of(job)
        if any(_phase(pod) == "Succeeded" for pod in pods):
            wanted = 0  # a Job without completions gets no new pods after the first success
        active = [pod for pod in pods if _phase(pod) not in {"Succeeded", "Failed"}]
        self._end(active[wanted:])
        pods = [pod for pod in pods if pod not in active[wanted:]]
        names = [f"{name}-{self._pod_number + index:05d}" for index in range(wanted - len(active))]
        self._pod_number += len(names)
        pods += self._create_pods(job, "batch/v1", "Job", names)
        pods = [self._scripted(pod, self.worker) for pod in pods]
        phases = [_phase(pod) for pod in pods]
        active_count = sum(phase in {"Pending", "Running"} for phase in phases)
        status: Object = {"active": active_count, "ready": sum(is_ready(pod) for pod in pods), "startTime": now()}
        status |= {"succeeded": phases.count("Succeeded"), "failed": phases.count("Failed"), "terminating": 0}
        if spec.get("suspend"):
            status = {"active": 0, "ready": 0, "startTime": None, "terminating": 0}
        elif "Succeeded" in phases and not active_count and not is_over(job):
            ends = [_condition("SuccessCriteriaMet"), _condition("Complete")]
            status |= {"conditions": ends, "completionTime": now(), "ready": 0}
        self._set_status("jobs", job, status)

    def _create_pods(self, owner: Object, version: str, kind: str, names: list[str]) -> list[Object]:
        template = owner["spec"]["template"]
        reference = {"apiVersion": version, "kind": kind, "name": owner["metadata"]["name"]}
        reference |= {"uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}
        created = []
        for name in names:
            about = {**template.get("metadata", {}), "name": name, "ownerReferences": [reference]}
            about.pop("creationTimestamp", None)
            try:
                created.append(self.api.create("pods", self.namespace, {"metadata": about, "spec": template["spec"]}))
            except ApiRefused as refused:
                if refused.status == 409:
                    continue  # the one before is not gone yet
                self.refused.append(refused.message)
                self._tell(owner, version, kind, f'Error creating: pods "{name}" is forbidden: {refused.message}')
        return created

    def _end(self, pods: list[Object]) -> None:
        for pod in pods:
            self._erase("pods", pod["metadata"]["name"])

    def _tell(self, owner: Object, version: str, kind: str, message: str) -> None:
        """The warning of a controller that may not create a pod; counted up when it is there."""
        about = {"name": f"{owner['metadata']['name']}.failed-create", "namespace": self.namespace}
        involved = {"apiVersion": version, "kind": kind, "namespace": self.namespace}
        involved |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        event: Object = {"metadata": about, "involvedObject": involved, "reason": "FailedCreate", "type": "Warning"}
        event |= {"message": message[:1000], "source": {"component": "scripted"}, "lastTimestamp": now(), "count": 1}
        self.api.delete("events", self.namespace, about["name"])
        self.api.create("events", self.namespace, event)

    def _scripted(self, pod: Object, script: PodScript) -> Object:
        if _phase(pod) in {"Succeeded", "Failed"}:
            return pod  # which is for ever
        wanted = script(pod)
        if wanted is None or not _differs(wanted, pod.get("status", {})):
            return pod
        self.set_pod(pod["metadata"]["name"], wanted)
        return {**pod, "status": wanted}

    def _set_status(self, resource: str, owner: Object, status: Object) -> None:
        before = owner.get("status", {})
        if any(before.get(key, 0) != value for key, value in status.items() if key != "startTime"):
            if before.get("startTime"):
                status.pop("startTime", None)
            name = owner["metadata"]["name"]
            self.api.patch_if_there(resource, self.namespace, name, {"status": status}, "status")

    # ------------------------------------------------------------------------------------------------------- objects
    def _pods_of(self, owner: Object) -> list[Object]:
        return self._by_owner.get(owner["metadata"]["uid"], [])

    def _set_free(self, objects: list[tuple[str, Object]], owner: str) -> None:
        for resource, content in objects:
            owners = content["metadata"].get("ownerReferences", ())
            if any(found["uid"] == owner for found in owners):
                rest = {"metadata": {"ownerReferences": [found for found in owners if found["uid"] != owner]}}
                self.api.patch(resource, self.namespace, content["metadata"]["name"], rest)

    def _names(self, resource: str) -> list[str]:
        ignored = {"kube-root-ca.crt"}
        names = (found["metadata"]["name"] for found in self.api.list(resource, self.namespace))
        return [name for name in names if name not in ignored]

    def _erase(self, resource: str, name: str) -> None:
        """Deletes at once, whatever the kubelet would have done first. Finalizers that are not of the cluster stay."""
        content = self.api.get(resource, self.namespace, name)
        if content is None:
            return
        finalizers = [found for found in content["metadata"].get("finalizers", ()) if found not in _OF_THE_CLUSTER]
        if finalizers != content["metadata"].get("finalizers", []):
            self.api.patch(resource, self.namespace, name, {"metadata": {"finalizers": finalizers}})
        self.api.delete(resource, self.namespace, name, gracePeriodSeconds=0, propagationPolicy="Background")


_OF_THE_CLUSTER: Final = {
    "foregroundDeletion",
    "orphan",
    "kubernetes.io/pvc-protection",
    "batch.kubernetes.io/job-tracking",
}


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_over(job: Object) -> bool:
    """A batch Job that has ended."""
    conditions = job.get("status", {}).get("conditions") or []
    return any(found["type"] in {"Complete", "Failed"} and found["status"] == "True" for found in conditions)


def _parts(pod: Object) -> list[Object]:
    containers: list[Object] = pod["spec"]["containers"]
    return containers


def _container(part: Object, state: Object, *, is_ready: bool = True) -> Object:
    return {
        "name": part["name"],
        "image": part["image"],
        "imageID": "",
        "ready": is_ready,
        "started": is_ready,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}


def _differs(wanted: Any, found: Any) -> bool:
    """Whether what is wanted is not yet so; times do not count."""
    if isinstance(wanted, dict):
        times = {"startTime", "startedAt", "finishedAt", "lastTransitionTime"}
        return not isinstance(found, dict) or any(
            _differs(value, found.get(key)) for key, value in wanted.items() if key not in times
        )
    if isinstance(wanted, list):
        return (
            not isinstance(found, list)
            or len(wanted) != len(found)
            or any(_differs(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted != found and not (wanted in ("", 0) and found is None))
