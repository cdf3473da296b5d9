"""Why the coordinator says no: the one exception that every refused call raises, and the closed list of its codes.

A code is stable and for programs, a message is for people and ends with what to do. Only what belongs to the protocol
is here; a bug is an ordinary exception and becomes `internal` at the HTTP edge. How a refusal becomes an answer is in
`edge`.
"""

from __future__ import annotations

from typing import Final, Literal

RefusalCode = Literal[
    "bad-request",
    "unauthorized",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "timeout",
    "epoch-changed",
    "unknown-worker",
    "stale-call",
    "conflict",
    "too-large",
    "unsupported-encoding",
    "range-not-satisfiable",
    "internal",
    "not-ready",
]

#: The HTTP status of each code. All codes that a client may meet are here, and the OpenAPI document is made from it.
HTTP_STATUS: Final[dict[RefusalCode, int]] = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "timeout": 408,
    "epoch-changed": 409,
    "unknown-worker": 409,
    "stale-call": 409,
    "conflict": 409,
    "too-large": 413,
    "unsupported-encoding": 415,
    "range-not-satisfiable": 416,
    "internal": 500,
    "not-ready": 503,
}


class Refused(Exception):
    """The coordinator does not carry out the call, and nothing has changed by it."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code: RefusalCode = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status that goes with the code."""
        return HTTP_STATUS[self.code]


def bad_request(message: str) -> Refused:
    """The call does not decode, is out of bounds, or makes no sense; repeating it cannot help."""
    return Refused("bad-request", message)


def unauthorized(message: str = "No valid token came with the call. Send `Authorization: Bearer TOKEN`.") -> Refused:
    """No token, or one that is not (or no longer) valid here."""
    return Refused("unauthorized", message)


def forbidden(message: str) -> Refused:
    """The token is valid, but its role does not allow this call."""
    return Refused("forbidden", message)


def not_found(what: str, because: str = "") -> Refused:
    """The thing named (`job 7`, `part part-00003 of job 7`) does not exist here; `because` may say why."""
    return Refused("not-found", f"There is no {what} here" + (f": {because}." if because else "."))


def epoch_changed(current_epoch: int) -> Refused:
    """The call was meant for another incarnation of the coordinator."""
    return Refused(
        "epoch-changed",
        f"The coordinator is now in epoch {current_epoch}. Register again with the attempts you hold.",
    )


def unknown_worker(worker: str) -> Refused:
    """The worker is not registered with this incarnation, or its registration has ended."""
    return Refused("unknown-worker", f"Worker {worker} is not registered. Register again with the attempts you hold.")


def stale_call(call: int, highest: int) -> Refused:
    """A call number below the highest one seen: a late copy of a call that was answered long ago."""
    return Refused(
        "stale-call", f"Call {call} is older than call {highest}, which was already answered. Use a higher number."
    )


def conflict(message: str) -> Refused:
    """The call contradicts what is already there, such as another bundle under the same digest."""
    return Refused("conflict", message)


def too_large(what: str, limit_bytes: int) -> Refused:
    """A body is larger than its limit."""
    return Refused("too-large", f"{what} is larger than {limit_bytes} bytes, the limit for this call.")


def not_ready(message: str) -> Refused:
    """The coordinator cannot answer now: starting, out of disk, or ending. The same call may work later."""
    return Refused("not-ready", message)


def internal() -> Refused:
    """A bug or a broken disk; its details are in the coordinator's log and never in the answer."""
    return Refused("internal", "The coordinator failed at this call. Its log says why.")
