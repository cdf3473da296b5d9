"""When a worker calls its coordinator: the settings, and when more tasks are due. Pure."""

from __future__ import annotations

import msgspec


class SessionSettings(msgspec.Struct, frozen=True):
    """When calls are made."""

    idle_wait_s: float = 20.0
    """How long a call of a worker that holds nothing may wait for a task."""
    busy_wait_s: float = 0.2
    """The same while some slots run: a result that is made meanwhile is not reported before the call returns."""
    prefetch_s: float = 0.1
    """More tasks are asked for when those that wait are worth less than this."""
    report_s: float = 0.2
    """A result is reported at the latest this long after it was made."""
    empty_pause_s: float = 0.1
    """Pause after a call that was answered at once and brought nothing."""
    max_report_weight: int = 50_000
    """Largest number of partition sizes (or 64-byte pieces of text) in one call, to keep its body small."""


def is_low(settings: SessionSettings, spare: int, slots: int, mean_run_s: float | None) -> bool:
    """Whether the attempts that wait will soon be used up.

    Args:
        settings: how soon is soon.
        spare: attempts that wait, beyond those that the free slots will take; negative while slots are free.
        slots: slots of this worker.
        mean_run_s: mean duration of an attempt; None while none has ended.
    """
    if spare < 0:
        return True
    if mean_run_s is None or mean_run_s >= settings.prefetch_s:
        return False
    return spare * mean_run_s < settings.prefetch_s * slots
