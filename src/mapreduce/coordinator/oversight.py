"""How a coordinator itself is, for those who watch over it (`GET /v1/coordinator`); and a job in its author's words."""

from __future__ import annotations

import msgspec

from mapreduce.coordinator.shell import Shell
from mapreduce.protocol.messages import CoordinatorStatus, JobStatus, Notice, WorkerSummary
from mapreduce.version import __version__
from mapreduce.volumes import shown


def coordinator_status(shell: Shell, found: tuple[Notice, ...], replicas_pending: int) -> CoordinatorStatus:
    """The state of `shell` now; `found` is what was noticed when it began."""
    state, sessions, now_s = shell.machine.state, shell.machine.sessions, shell.clock.monotonic_s()
    workers = tuple(
        WorkerSummary(
            name=name,
            slots=state.workers[name].slots,
            last_heartbeat_age_s=round(max(0.0, now_s - session.heard_s), 3),
            running=len(state.workers[name].leases),
            memory_bytes=session.memory_bytes,
        )
        for name, session in sessions.workers.items()
        if name in state.workers
    )
    return CoordinatorStatus(
        epoch=shell.epoch,
        sequence=shell.log.durable_sequence,
        version=__version__,
        notices=(*found, *_present_notices(shell)),
        is_short_of_space=sessions.is_paused,
        replicas_pending=replicas_pending,
        workers=workers,
    )


def as_written(status: JobStatus, root: str) -> JobStatus:
    """A status of a job in a pod, with the places that its author wrote and not where they are mounted below `root`."""
    if not root:
        return status
    failures = tuple(
        msgspec.structs.replace(
            sample,
            failure=msgspec.structs.replace(
                sample.failure,
                message=shown(sample.failure.message, root),
                record=shown(sample.failure.record, root),
            ),
        )
        for sample in status.failures
    )
    return msgspec.structs.replace(
        status, output=shown(status.output, root), message=shown(status.message, root), failures=failures
    )


def _present_notices(shell: Shell) -> list[Notice]:
    notices = []
    if shell.machine.sessions.is_paused:
        notices.append(
            Notice(
                reason="LowSpace",
                message=f"A volume of the coordinator has less than {shell.settings.low_water_bytes >> 20} MiB left; "
                f"no task is given out until there is room.",
            )
        )
    last_s = shell.log.stats.fsync_last_s
    if last_s > shell.settings.slow_sync_s:
        notices.append(
            Notice(reason="SlowDisk", message=f"The last fsync of the log took {last_s:.1f} s; every commit waits so.")
        )
    return notices
