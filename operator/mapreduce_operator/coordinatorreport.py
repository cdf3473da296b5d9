"""How a coordinator itself is, as it tells the operator: types only."""

from __future__ import annotations

import msgspec


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the coordinator wants people to know."""

    reason: str = ""
    message: str = ""


class CoordinatorReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the coordinator itself is. Unknown fields are passed over: it may be of another release."""

    epoch: int = 0
    notices: tuple[Notice, ...] = ()
    is_short_of_space: bool = False
    replicas_pending: int = 0
