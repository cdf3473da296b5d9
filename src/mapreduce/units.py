"""Sizes and durations as people write and read them: `16MiB`, `64k`, `1h30m`. Pure; knows nothing of click.

A size is binary throughout (`64k`, `64KB` and `64KiB` are the same 65 536 bytes): a split or a budget is a power of two
in this project, and a suffix that silently means 4 % less would only surprise.
"""

from __future__ import annotations

import re
from typing import Final

#: The size of a claim, as Kubernetes writes it and a manifest takes it: `500Mi`, `10Gi`.
CLAIM_SIZE: Final = r"[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|Pi)?"
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE)
_FACTORS: Final = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_size(text: str) -> int:
    """Bytes meant by `text`: a number with B, k, M, G or T (`iB`, `B` may follow). ValueError says why not."""
    match = _SIZE.fullmatch(text.strip())
    unit = match["unit"].lower() if match else ""
    base = unit.removesuffix("b").removesuffix("i") if len(unit) > 1 else unit
    if match is None or base not in _FACTORS:
        raise ValueError(f"{text!r} is not a size; write a number with k, M, G or T, such as 64k, 16MiB or 1.5G")
    size = float(match["number"]) * 1024 ** _FACTORS[base]
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(size)


def parse_duration_s(text: str) -> float:
    """Seconds meant by `text`: a bare number, or numbers with ms, s, m, h, d. ValueError says why not."""
    stripped = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f"{text!r} is not a duration; write 30s, 10m, 1h30m, or a number of seconds")
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)


def format_size(size_bytes: float) -> str:
    """`size_bytes` in three digits or so: `512 B`, `1.5 MiB`, `23 GiB`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 999.5 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes every size")


def format_duration(duration_s: float) -> str:
    """`duration_s` as a person says it: `0.4 s`, `42 s`, `3m05s`, `2h07m`, `3d04h`."""
    if duration_s < 9.95:
        return f"{max(0.0, duration_s):.1f} s"
    whole_s = round(duration_s)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3_600:
        return f"{whole_s // 60}m{whole_s % 60:02d}s"
    if whole_s < 86_400:
        return f"{whole_s // 3_600}h{whole_s % 3_600 // 60:02d}m"
    return f"{whole_s // 86_400}d{whole_s % 86_400 // 3_600:02d}h"


def format_count(count: int) -> str:
    """`count` with separators of thousands: `1,234,567`."""
    return f"{count:,}"
