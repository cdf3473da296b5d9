"""How a coordinator itself is, for those who watch over it: the reply of `GET /v1/coordinator`."""

from __future__ import annotations

from mapreduce.coordinator.shell import Shell
from mapreduce.protocol.messages import CoordinatorStatus, Notice, WorkerSummary
from mapreduce.version import __version__


def coordinator_status(shell: Shell, found: tuple[Notice, ...], replicas_pending: int) -> CoordinatorStatus:
    """The state of `shell` now; `found` is what was noticed when it began."""
    state, sessions, now_s = shell.machine.state, shell.machine.sessions, shell.clock.monotonic_s()
    workers = tuple(
        WorkerSummary(
            name=name,
            slots=state.workers[name].slots,
            last_heartbeat_age_s=round(max(0.0, now_s - session.heard_s), 3),
            running=len(state.workers[name].leases),
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
