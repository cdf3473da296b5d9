"""Bounds of a log, and what it counts and measures for metrics. When a sync is too slow is the service's business."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class LogLimits(msgspec.Struct, frozen=True):
    """Bounds of a log."""

    record_bytes_max: int = 16 << 20
    """A larger payload is a bug of the caller: records stay small."""
    broken_bytes_max: int = 16 << 20
    """How much of a cut-off tail is kept as a copy."""
    broken_kept_count: int = 8
    """How many kept copies stay in the folder."""


@dataclass(slots=True)
class LogStats:
    """What the log has done in this incarnation, for metrics."""

    fsync_count: int = 0
    fsync_total_s: float = 0.0
    fsync_slowest_s: float = 0.0
    fsync_last_s: float = 0.0
    bytes: int = 0
    records: int = 0
    torn_bytes: int = 0
    bytes_since_snapshot: int = 0
    """Of the segments that a replay would read, those of earlier incarnations too."""

    def add_fsync(self, elapsed_s: float) -> None:
        """Count one fsync of the segment."""
        self.fsync_count += 1
        self.fsync_total_s += elapsed_s
        self.fsync_last_s = elapsed_s
        self.fsync_slowest_s = max(self.fsync_slowest_s, elapsed_s)
