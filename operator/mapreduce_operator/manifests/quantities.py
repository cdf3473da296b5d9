"""Kubernetes' quantities (`500m`, `1Gi`), as far as merging resources needs to compare them. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {
    "": Decimal(1),
    **{
        suffix: Decimal(10) ** power
        for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def value(quantity: object) -> Decimal | None:
    """The number that a quantity stands for; None for what is no quantity (the API server will say so)."""
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None:
        return None
    try:
        return Decimal(match[1]) * _FACTORS[match[2] or ""]
    except ArithmeticError:
        return None


def merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Resources with theirs over ours, name by name; no request of ours exceeds a limit of theirs, or back."""
    their_limits, their_requests = theirs.get("limits") or {}, theirs.get("requests") or {}
    limits = {**(ours.get("limits") or {}), **their_limits}
    requests = {**(ours.get("requests") or {}), **their_requests}
    for name in limits.keys() & requests.keys():
        limit, request = value(limits[name]), value(requests[name])
        if limit is None or request is None or request <= limit:
            continue
        if name in their_limits and name not in their_requests:
            requests[name] = limits[name]
        elif name in their_requests and name not in their_limits:
            limits[name] = requests[name]
    extra = {"claims": theirs["claims"]} if theirs.get("claims") else {}
    return {"requests": requests, "limits": limits, **extra}
