"""Kubernetes' times (RFC 3339 in UTC) as seconds since 1970 and back. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(text: str | None) -> float | None:
    """The time as seconds since 1970; None for none, or one that cannot be read."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def text(at_s: float) -> str:
    """Seconds since 1970 as metav1.Time: whole seconds, in UTC."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_text(at_s: float) -> str:
    """Seconds since 1970 as metav1.MicroTime."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
