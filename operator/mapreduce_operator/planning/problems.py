"""Why pods of a job are not ready, in the words of scheduler, kubelet, volume controller and quota. Pure."""

from __future__ import annotations

import json
import re
from typing import Final

from mapreduce_operator.facts import Container, Ending, EventFact, Pod
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem

_CANNOT_PULL: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_CANNOT_START: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNT_EVENTS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
#: In the kubelet's words: MountVolume.SetUp failed for volume "mr-secret-0" : secret "headers" not found
_MISSING: Final = re.compile(r'\b(secret|configmap) "[^"]*" not found')
_REASON_OF_MISSING: Final = {"secret": "SecretMissing", "configmap": "ConfigMapMissing"}
_CLAIM_EVENTS: Final = frozenset({"ProvisioningFailed", "FailedBinding"})
#: A pod may be on its way for so long before anybody is asked why.
PATIENCE_S: Final = 10.0
#: The exit code by which a coordinator says that it can never work.
FATAL_EXIT_CODE: Final = 2
_SIGTERM_EXIT_CODE: Final = 143
_MAX_FACTS_CHARS: Final = 600


def fatal(seen: Observed) -> Problem | None:
    """What the coordinator itself says can never work: exit code 2 with reason and message as JSON."""
    pod = seen.children.coordinator
    container = pod.container("coordinator") if pod is not None else None
    if container is None or container.ending is None or container.ending.exit_code != FATAL_EXIT_CODE:
        return None
    return _said(container.ending)


def _said(ending: Ending) -> Problem | None:
    """What one of our processes left as its termination message; None for any other text."""
    try:
        said = json.loads(ending.message)
        return Problem(str(said["reason"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return None


def of_coordinator(seen: Observed) -> Problem | None:
    """Why the coordinator is not ready; None when it is, or nothing is known to be wrong."""
    pod = seen.children.coordinator
    if pod is None:
        stateful_set = seen.children.stateful_set
        return None if stateful_set is None else _not_created(seen, "StatefulSet", stateful_set.name)
    if pod.is_ready and not pod.is_going:
        return None
    return _of_pod(seen, pod)


def of_workers(seen: Observed) -> Problem | None:
    """Why workers are not ready: the first cause found; None when nothing is known to be wrong."""
    batch = seen.children.workers
    live = seen.children.live_workers
    for pod in sorted(live, key=lambda one: one.name):
        if pod.is_ready:
            continue
        if problem := _of_pod(seen, pod):
            return problem
    if problem := _ended_again_and_again(seen):
        return problem
    if batch is not None and not batch.is_suspended and len(live) < seen.wanted.replicas:
        return _not_created(seen, "Job", batch.name)
    return None


def out_of_memory(seen: Observed) -> Problem | None:
    """An executor whose container was killed for its memory; the worker goes on, so this degrades and no more."""
    for pod in sorted(seen.children.live_workers, key=lambda one: one.name):
        executor = pod.container("executor")
        if executor is not None and executor.ending is not None and executor.ending.reason == "OOMKilled":
            return Problem("OutOfMemory", f"The executor of {pod.name} was killed {executor.restarts} times.")
    return None


def needs_words(seen: Observed) -> bool:
    """Whether events of the cluster should be read, because pods are missing or do not start."""
    children = seen.children
    if children.stateful_set is not None and children.stateful_set.replicas and children.coordinator is None:
        return seen.now_s - children.stateful_set.created_s > PATIENCE_S
    batch = children.workers
    if batch is not None and not batch.is_suspended and not batch.is_complete and not batch.is_failed:
        missing = len(children.live_workers) < min(batch.parallelism, seen.wanted.replicas)
        if missing and seen.now_s - batch.created_s > PATIENCE_S:
            return True
    return any(_is_slow(seen, pod) for pod in children.pods)


def _of_pod(seen: Observed, pod: Pod) -> Problem | None:
    node = seen.nodes.get(pod.node)
    if pod.node and node is not None and (not node.exists or node.silent_since_s is not None):
        return Problem("NodeLost", f"{pod.name} is on {pod.node}.")
    if pod.unschedulable:
        return _of_scheduling(seen, pod)
    for container in pod.containers:
        if problem := _of_container(pod, container):
            return problem
    if _is_slow(seen, pod):
        if not pod.node and (said := _why_no_volume(seen)):  # a class that binds late is waited for without a word
            return Problem("ClaimPending", _facts(pod.name, said))
        for event in _events(seen, "Pod", pod.name):
            if event.reason in _MOUNT_EVENTS:
                missing = _MISSING.search(event.message)
                reason = "VolumeNotMounted" if missing is None else _REASON_OF_MISSING[missing[1]]
                return Problem(reason, _facts(pod.name, event.message))
    return None


def _of_scheduling(seen: Observed, pod: Pod) -> Problem:
    words = pod.unschedulable
    if "volume node affinity conflict" in words or "didn't match PersistentVolume's node affinity" in words:
        return Problem("VolumeNodeLost", _facts(pod.name, words))
    if "persistentvolumeclaim" in words and "not found" in words:
        return Problem("ClaimMissing", _facts(pod.name, words))
    if "unbound immediate PersistentVolumeClaims" in words or "unbound PersistentVolumeClaims" in words:
        return Problem("ClaimPending", _facts(pod.name, _why_no_volume(seen) or words))
    return Problem("Unschedulable", _facts(pod.name, words))


def _why_no_volume(seen: Observed) -> str:
    return next((one.message for one in seen.events if one.reason in _CLAIM_EVENTS), "")


def _of_container(pod: Pod, container: Container) -> Problem | None:
    place = f"{pod.name}, container {container.name}"
    ending = container.ending
    if container.state == "waiting":
        if container.reason in _CANNOT_PULL:
            return Problem("ImagePullFailed", _facts(place, container.message or container.reason))
        if container.reason in _CANNOT_START:
            return Problem("ContainerCannotStart", _facts(place, container.message or container.reason))
        if container.reason == "CrashLoopBackOff" and (ending is None or ending.exit_code != FATAL_EXIT_CODE):
            if ending is not None and ending.reason == "OOMKilled":
                return Problem("OutOfMemory", _facts(place, f"killed {container.restarts} times"))
            if ending is not None and (said := _said(ending)) is not None:
                return Problem(said.reason, _facts(place, said.facts))
            return Problem("CrashLoop", _facts(place, _last_words(container)))
    if container.state == "terminated" and ending is not None and ending.exit_code not in {0, FATAL_EXIT_CODE}:
        if ending.reason == "OOMKilled":
            return Problem("OutOfMemory", _facts(place, "killed"))
        if ending.reason in {"StartError", "ContainerCannotRun"}:
            return Problem("ContainerCannotStart", _facts(place, ending.message))
    return None


def _ended_again_and_again(seen: Observed) -> Problem | None:
    """Workers whose agents failed by themselves, as they tell in pods that ended; disruptions are no failure."""
    failed = []
    for pod in seen.children.worker_pods:
        agent = pod.container("agent")
        if pod.phase != "Failed" or pod.disruption or pod.reason or agent is None or agent.ending is None:
            continue
        if agent.ending.exit_code not in {0, _SIGTERM_EXIT_CODE}:
            failed.append((agent.ending.at_s or 0.0, pod, agent))
    if len(failed) < 2 or seen.ready_workers >= seen.wanted.replicas:
        return None
    _, pod, agent = max(failed, key=lambda one: (one[0], one[1].name))
    if agent.ending is not None and agent.ending.reason == "OOMKilled":
        return Problem("OutOfMemory", _facts(f"{pod.name}, container agent", "killed"))
    return Problem("CrashLoop", _facts(f"{pod.name}, container agent", _last_words(agent)))


def _not_created(seen: Observed, kind: str, name: str) -> Problem | None:
    for event in _events(seen, kind, name):
        if event.reason == "FailedCreate":
            reason = "QuotaExceeded" if "exceeded quota" in event.message else "PodRefused"
            return Problem(reason, _facts("", event.message))
    return None


def _is_slow(seen: Observed, pod: Pod) -> bool:
    return not pod.is_ready and not pod.is_over and seen.now_s - pod.created_s > PATIENCE_S


def _events(seen: Observed, kind: str, name: str) -> list[EventFact]:
    return sorted((one for one in seen.events if (one.kind, one.name) == (kind, name)), key=lambda one: -one.at_s)


def _last_words(container: Container) -> str:
    if container.ending is None:
        return f"ended {container.restarts} times"
    said = container.ending.message.strip()
    return f"exit code {container.ending.exit_code}" + (f": {said}" if said else "")


def _facts(place: str, words: str) -> str:
    text = f"{place}: {words}" if place else words
    return text[:_MAX_FACTS_CHARS].rstrip().rstrip(".") + "."
