"""What to do about a job that failed, by the reason of its end. Pure words.

Settings are named as fields of the specification; `wording.as_options` makes options of them for whoever typed those.
Of a job in a cluster the operator's reasons tell more: it knows pods and claims.
"""

from __future__ import annotations

from typing import Final

from mapreduce.protocol.messages import JobStatus

REMEDIES: Final[dict[str, str]] = {
    # Of tasks
    "TaskFailed": "Correct the code or the record and run the job again; `mr replay {source} {task}` runs that task "
    "under a debugger.",
    "TaskCrashed": "Look for native code that crashes, or os._exit, at the record named; then run the job again.",
    "TaskTimedOut": "Raise taskTimeoutSeconds, or make splits smaller by splitSizeBytes; correct the code if it hangs.",
    "OutOfMemory": "Raise workers.memoryLimitBytes, or make values smaller with a combiner.",
    "WorkersLost": "Most often that task takes more memory than its machine has: lower splitSizeBytes, "
    "or run fewer workers; if workers were ended on purpose, raise maxLostAttempts.",
    "WorkersFailed": "The job's code is not to blame: read the logs of the workers and mend what they name, most often "
    "a full disk or a folder that cannot be read; then run the job again.",
    "BadInput": "Correct the input, or name another format or encoding.",
    "UnstorableRecord": "Yield text, bytes, numbers, lists, dicts or dataclasses from the function that is named.",
    # Of the job
    "NonDeterministicMap": "Let the mapper depend on its input and arguments only: no clock, no random numbers, no "
    "order of sets; then run the job again.",
    "OutputKeepsGettingLost": "Look after that volume, and for who else deletes there; then run the job again.",
    "PlanLost": "Look after the volume of the state folder, and submit the job again.",
    # Of planning: the names of the errors that refuse a job
    "UsageError": "Correct what the message names, and submit the job again.",
    "InvalidJobSpec": "Correct the field that the message names, and submit the job again.",
    "InvalidUserCode": "Run `mr check` on the file, correct it, and submit the job again.",
    "InvalidInput": "Correct the input's place, or put the file there; then submit the job again.",
    "OutputRefused": "Name another output.uri; output.overwrite replaces a result of yours.",
}
"""By reason; `{source}` and `{task}` are how a command names the job, and the task that failed last."""


def remedy(status: JobStatus, *, source: str) -> str:
    """What to do about a failed job; empty for a reason of a newer release."""
    task = status.failures[-1].id.task if status.failures else "TASK"
    return REMEDIES.get(status.reason, "").replace("{source}", source or str(status.job)).replace("{task}", task)
