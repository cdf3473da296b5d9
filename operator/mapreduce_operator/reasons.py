"""Every reason that a condition of a job may have: the sentence, and what to do about it. Pure.

Reasons are part of the API: they may be added, never renamed. `mr why`, the reference page and the operator's messages
take their words from here; facts (which image, which claim, what the scheduler said) are added where they are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, as it stands in a condition's `reason`."""

    name: str
    sentence: str
    """What is the case, as a whole sentence without facts of a certain job."""
    fix: str
    """What a person can do; empty where nothing needs to be done."""

    def message(self, facts: str = "") -> str:
        """A condition's message: the sentence, the facts of this job, the fix."""
        return " ".join(part for part in (self.sentence, facts, self.fix) if part)


CONDITIONS: Final[dict[str, str]] = {
    "Validated": "The specification can be carried out in this cluster, as far as that shows before the start.",
    "CoordinatorReady": "The coordinator answers.",
    "WorkersReady": "All workers that were asked for are ready; else why the first of the others is not.",
    "MapsComplete": "Every map task is committed.",
    "ReducesComplete": "Every reduce task is committed.",
    "Suspended": "The job was suspended: it has no pods, its log and its runs are kept.",
    "Degraded": "The job goes on, but something is lost or short that somebody should look at.",
    "Stalled": "The job cannot go on by itself: somebody has to do something.",
    "SpecDrift": "The object, or code that it names, is no longer what the job was started with, which it keeps to.",
    "Complete": "The whole output is in place.",
    "Failed": "The job ended without output.",
    "Finished": "The job ended, either way.",
}
"""Every type of condition, with what it means when it is True."""

_ALL: Final = (
    # Waiting and working
    Reason("Pending", "The job has not begun.", ""),
    Reason("Checking", "The specification is being checked.", ""),
    Reason("Accepted", "The specification can be carried out.", ""),
    Reason("Starting", "Pods are being started.", ""),
    Reason("Running", "The job is running.", ""),
    Reason("Ready", "Everything that was asked for is ready.", ""),
    Reason("Answering", "The coordinator answers.", ""),
    Reason("AllCommitted", "Every task is committed.", ""),
    Reason("Published", "The whole output is in place.", ""),
    Reason("Resumed", "The job was suspended and goes on.", ""),
    Reason("NotSuspended", "The job is not suspended.", ""),
    Reason(
        "SuspendedByUser", "spec.suspend is true.", "Set spec.suspend to false to go on; nothing committed is redone."
    ),
    Reason("Draining", "The pods are being ended; committed work is brought to safety first.", ""),
    Reason("AsExpected", "Nothing is wrong.", ""),
    Reason("InSync", "The object is what the job was started with.", ""),
    Reason("NotFinished", "The job has not ended.", ""),
    Reason("Succeeded", "The job ended with its whole output.", ""),
    Reason("JobFailed", "The job ended without output.", "Condition Failed has the cause."),
    Reason("JobEnded", "The job has ended, so its workers are gone.", ""),
    Reason("MapOnly", "The job has no reduce tasks.", ""),
    # What can never work: the job fails at once
    Reason(
        "InvalidSpec",
        "The specification cannot be carried out.",
        "Correct the field that the message names and apply the job under a new name, or delete it first.",
    ),
    Reason(
        "InvalidCode",
        "The job's code cannot be used: it cannot be imported, or lacks a function, or one has the wrong shape.",
        "Run `mr check` on the file, correct it, delete the job and apply it again.",
    ),
    Reason(
        "InvalidInput",
        "An input does not exist, cannot be read, or holds no file.",
        "Correct the input's uri, or put the file there; then delete the job and apply it again.",
    ),
    Reason(
        "InvalidPodTemplate",
        "A pod template is refused by the API server.",
        "Delete the job, correct the field of the podTemplate that the message names, and apply it again.",
    ),
    Reason(
        "OutputExists",
        "The output folder already holds a result, or files of somebody else.",
        "Delete the job and apply it again with another output.uri, or with output.overwrite Replace if the result "
        "there is one of ours.",
    ),
    Reason(
        "ClaimMissing",
        "A claim that the specification names does not exist.",
        "Create the PersistentVolumeClaim; as long as the job has not started, its name can be corrected, too. For the "
        "output, output.claimTemplate makes one.",
    ),
    Reason(
        "ConfigMapMissing",
        "A ConfigMap, or the key in it, that the specification names does not exist.",
        "Create it in the job's namespace; the job goes on by itself.",
    ),
    Reason(
        "SecretMissing",
        "A Secret that the specification names does not exist.",
        "Create it in the job's namespace; the job goes on by itself.",
    ),
    Reason(
        "CodeTooLong",
        "The code does not fit into the ConfigMap that brings it to the coordinator.",
        "Delete the job, put the file on a volume or into the image, name it by code.volumePath or code.module, and "
        "apply the job again.",
    ),
    # Pods that cannot start
    Reason(
        "ImagePullFailed",
        "An image cannot be pulled.",
        "Put the image where the job looks for it; or correct spec.image or spec.imagePullSecrets, "
        "then delete the job and apply it again.",
    ),
    Reason(
        "Unschedulable",
        "A pod fits on no node.",
        "Add nodes or room on them; or ask for less in the podTemplate's resources or loosen its node selection, then "
        "delete the job and apply it again.",
    ),
    Reason(
        "ClaimPending",
        "A claim has no volume yet.",
        "Look at the claim's events and mend the class; for another storageClassName or access mode delete the job and "
        "apply it again.",
    ),
    Reason(
        "QuotaExceeded",
        "The namespace's quota allows no more pods of this size.",
        "Lower spec.workers.replicas, or have the quota raised; "
        "for smaller pods change the podTemplate, then delete the job and apply it again.",
    ),
    Reason(
        "PodRefused",
        "The API server refuses a pod of the job, for another reason than a quota.",
        "The message has its words: an admission policy, a limit range or a missing object.",
    ),
    Reason(
        "ContainerCannotStart",
        "A container cannot be created or started.",
        "The message has the kubelet's words; often a ConfigMap or Secret that the podTemplate names is missing.",
    ),
    Reason(
        "VolumeNotMounted",
        "A volume cannot be mounted.",
        "Look at the pod's events; a ReadWriteOnce volume that is attached to another node has to be released there.",
    ),
    Reason(
        "CrashLoop",
        "A container ends again and again soon after its start.",
        "Read its log by `kubectl logs --previous`; the message has its last words.",
    ),
    Reason(
        "OutOfMemory",
        "A process grew beyond its memory limit.",
        "Raise workers.memoryLimitBytes, or the podTemplate's memory limit where the message names the container; "
        "or lower workers.slots. Then delete the job and apply it again.",
    ),
    Reason(
        "NodeLost",
        "The node of a pod does not answer.",
        "Nothing is lost but what was running there; the pod is replaced.",
    ),
    Reason(
        "WorkersScaledDown",
        "spec.workers.replicas is 0, so no task runs.",
        "Scale the job: `kubectl scale mapreducejob NAME --replicas 2`.",
    ),
    # Storage
    Reason(
        "VolumeNodeLost",
        "The log's volume exists on one node only, and that node takes no pods: it does not answer, or was drained.",
        "The job goes on by itself once the node takes pods. If it never will, delete the job and apply it again.",
    ),
    Reason(
        "SingleNodeStorage",
        "With storage.shuffle Shared, a ReadWriteOnce volume holds all pods of the job on one node.",
        "For more nodes delete the job and apply it again with a ReadWriteMany class, or with storage.shuffle Peer, "
        "which needs no shared volume.",
    ),
    Reason(
        "DiskFull",
        "A volume of the job is full; no further tasks are given out until there is room.",
        "Enlarge the claim that the message names, or free space on it; the job goes on by itself.",
    ),
    Reason(
        "WALCorrupt",
        "Records of the log that were durable are damaged or gone: the volume lost or altered data.",
        "The log is rebuilt from the results that verify, and the rest is done again. Look after the volume.",
    ),
    Reason(
        "WALRepaired",
        "A crash cut off the log's last records, none of which was ever acknowledged; they were removed.",
        "",
    ),
    Reason("WALNote", "Reading the log showed something that is worth knowing; nothing is lost.", ""),
    Reason(
        "LowSpace",
        "A volume of the coordinator is nearly full; no further tasks are given out until there is room.",
        "Enlarge the log's claim, or free space on it; the job goes on by itself.",
    ),
    Reason(
        "SlowDisk",
        "The log's volume takes long to bring records to the disk, and every commit waits for it.",
        "Use a faster StorageClass for storage.log in the next job.",
    ),
    Reason(
        "WALForeign",
        "The log's volume holds the log of another job, or one of a version that this release cannot read.",
        "Delete the job and apply it again with a claim of its own in storage.log. A log of another release is read by "
        "that release.",
    ),
    Reason(
        "ReplicasPending",
        "Committed map results are not yet copied to the coordinator's volume; losing a worker's disk would cost them.",
        "",
    ),
    Reason("MapsRemade", "Committed map results were lost with a disk, and are made again.", ""),
    # Reaching the coordinator
    Reason(
        "CoordinatorUnreachable",
        "The operator cannot reach the coordinator.",
        "If its pod is ready, look whether a NetworkPolicy keeps the operator from it; progress shown here is old.",
    ),
    Reason(
        "CoordinatorRestarting",
        "The coordinator ended and is started again; workers keep running meanwhile.",
        "If that repeats, read its log by `kubectl logs --previous`.",
    ),
    Reason(
        "CoordinatorFailed",
        "The coordinator ended by trouble of its own; it is started again and goes on where it was.",
        "If that repeats, read its log by `kubectl logs --previous`.",
    ),
    Reason(
        "PrepareFailed",
        "The container that reads the job's code ended by trouble of its own; it is started again.",
        "If that repeats, read its log: `kubectl logs POD -c describe`.",
    ),
    # Failures of tasks, as the coordinator names them
    Reason(
        "TaskFailed",
        "The job's code raised an exception as often as spec.maxAttempts allows.",
        "The message has its traceback and the record; correct the code, delete the job and apply it again.",
    ),
    Reason(
        "TaskCrashed",
        "The process that ran the job's code ended without a word as often as spec.maxAttempts allows.",
        "The message has the record; look for native code that crashes, or os._exit. Then delete the job and apply it "
        "again.",
    ),
    Reason(
        "TaskTimedOut",
        "A task took longer than spec.taskTimeoutSeconds as often as spec.maxAttempts allows.",
        "Raise spec.taskTimeoutSeconds or lower spec.splitSizeBytes, or correct the code if it hangs; delete the job "
        "and apply it again.",
    ),
    Reason(
        "BadInput",
        "A record of the input cannot be read in the format that was asked for.",
        "The message names the place; correct the input, or its format or encoding. Then delete the job and apply it "
        "again.",
    ),
    Reason(
        "UnstorableRecord",
        "The job's code yields something that cannot be stored.",
        "The message names the record and its type; yield text, numbers, lists, dicts or dataclasses. Then delete the "
        "job and apply it again.",
    ),
    Reason(
        "WorkersLost",
        "A task lost its worker as often as spec.maxLostAttempts allows.",
        "Most often that task takes more memory than its pod has: raise the podTemplate's memory limit, delete the job "
        "and apply it again.",
    ),
    Reason(
        "WorkersFailed",
        "Workers failed by trouble of their own, not by the job's code.",
        "The message has the words; read the logs of the workers' agents. Then delete the job and apply it again.",
    ),
    Reason(
        "NonDeterministicMap",
        "A map task that was made again gave another result than before, and a reducer had already used the first.",
        "Let the mapper depend on its input and arguments only: no clock, no random numbers, no order of sets. Then "
        "delete the job and apply it again.",
    ),
    Reason(
        "OutputKeepsGettingLost",
        "The output of a task disappears again and again after it was written.",
        "Look after the output's volume, and for who else deletes there. Then delete the job and apply it again.",
    ),
    Reason("PlanLost", "The job's plan is gone from the log's volume.", "Delete the job and apply it again."),
    Reason("Cancelled", "The job was cancelled.", "Delete it and apply it again to run it."),
    # Deadlines
    Reason(
        "DeadlineExceeded",
        "The job took longer than spec.activeDeadlineSeconds.",
        "Raise spec.activeDeadlineSeconds or the number of workers; delete the job and apply it again.",
    ),
    Reason(
        "PendingDeadlineExceeded",
        "No task could run for spec.pendingDeadlineSeconds: something was missing, or the coordinator or all workers "
        "were not ready.",
        "Remove the cause that the message names, or raise spec.pendingDeadlineSeconds; then delete the job and apply "
        "it again.",
    ),
    # Edits that a running job does not follow
    Reason(
        "SpecChanged",
        "The specification was edited after the job was started; the job keeps to what it was started with.",
        "Undo the edit, or delete the job and apply it again.",
    ),
    Reason(
        "CodeChanged",
        "The ConfigMap with the job's code was edited after the start; the job keeps to the code it was started with.",
        "Undo the edit, or delete the job and apply it again.",
    ),
    # The cluster and the operator
    Reason(
        "CleanUpFailed",
        "What the deleted job left on a claim could not be removed.",
        "Remove the folder that the message names, by a pod that mounts the claim.",
    ),
    Reason(
        "Forbidden",
        "The operator may not do what the job needs.",
        "Have the operator's Role or ClusterRole corrected: install the chart's version that belongs to it.",
    ),
    Reason(
        "NameTaken",
        "An object with the name of one of the job's children belongs to somebody else.",
        "Delete or rename the object that the message names.",
    ),
    Reason(
        "ApiError", "The API server refuses what the operator asks.", "The message has its words; it is tried again."
    ),
    Reason(
        "OperatorError",
        "The operator failed while it looked after this job; it tries again.",
        "The operator's log has the traceback: please report it.",
    ),
)

REASONS: Final[dict[str, Reason]] = {reason.name: reason for reason in _ALL}
"""Every reason by its name."""


def reason(name: str) -> Reason:
    """The reason of that name; for one that a newer coordinator reports, a reason that says so."""
    known = REASONS.get(name)
    return known or Reason(name, "The coordinator reports a reason that this release does not know.", "")
