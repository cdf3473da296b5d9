"""Calls of the Kubernetes API as a proxy sees them, and what can become of one. Pure; `apiproxy` carries it out."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

_PATH = re.compile(
    r"^/(?:api/(?P<core>[^/]+)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^?]+))?$"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(slots=True)
class Call:
    """One request, in the words of RBAC. `status` comes with the reply; 0 when there was none."""

    number: int
    """0-based, in the order of arrival."""
    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = b""
    at_s: float = 0.0
    """Monotonic clock."""
    status: int = 0
    verb: str = field(init=False)
    namespace: str = field(init=False, default="")
    resource: str = field(init=False, default="")
    name: str = field(init=False, default="")
    subresource: str = field(init=False, default="")

    def __post_init__(self) -> None:
        found = _PATH.match(self.path)
        if found is not None:
            self.namespace, self.resource = found["namespace"] or "", found["resource"]
            self.name, self.subresource = found["name"] or "", found["subresource"] or ""
        self.verb = _VERBS.get(self.method, self.method.lower())
        if not self.name:
            if self.method == "GET" and self.resource:
                self.verb = "watch" if self.query.get("watch") in {"true", "1"} else "list"
            if self.method == "DELETE":
                self.verb = "deletecollection"

    @property
    def is_change(self) -> bool:
        """It changes something in the cluster."""
        return self.method not in {"GET", "HEAD"} and "dryRun" not in self.query

    @property
    def may_leave_garbage(self) -> bool:
        """It deletes something, or may take the last finalizer off a job."""
        is_of_job = self.is_change and self.resource == "mapreducejobs" and not self.subresource
        return self.method == "DELETE" or is_of_job

    @property
    def content(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        what = "/".join(part for part in (self.namespace, self.resource, self.name, self.subresource) if part)
        return f"#{self.number} {self.verb} {what or self.path} -> {self.status}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Carried out so much later."""

    by_s: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not carried out; answered as the API server refuses."""

    status: int
    reason: str = "Injected"
    retry_after_s: int | None = None

    @property
    def body(self) -> bytes:
        return _status(self.status, self.reason)


@dataclass(frozen=True, slots=True)
class Reset:
    """Not carried out; the connection breaks."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Not carried out, and nothing is ever said; the connection stays open."""


@dataclass(frozen=True, slots=True)
class LoseReply:
    """Carried out; the connection breaks in place of the reply. `does` is called between the two."""

    does: Callable[[Call], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class AnswerOfThePast:
    """A list as it was at an older resource version."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A watch that is accepted, and on which nothing comes, not even a bookmark."""


@dataclass(frozen=True, slots=True)
class Expire:
    """A watch that ends with the event `410 Gone`."""

    event: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        gone = b'{"type":"ERROR","object":' + _status(410, "Expired") + b"}\n"
        object.__setattr__(self, "event", gone)


@dataclass(frozen=True, slots=True)
class DropEvents:
    """A watch that loses the events for which `is_lost` is true; each is a dict with `type` and `object`."""

    is_lost: Callable[[dict[str, Any]], bool]


Fault: TypeAlias = Delay | Refuse | Reset | Hang | LoseReply | AnswerOfThePast | Silence | Expire | DropEvents


@dataclass
class Rule:
    """Which calls a fault befalls: those that match, after so many were skipped, and so often (None: always)."""

    fault: Fault
    verb: str = ""
    resource: str = ""
    name: str = ""
    """A part of the object's name."""
    subresource: str | None = None
    when: Callable[[Call], bool] = lambda _: True
    skips: int = 0
    times: int | None = 1
    hits: list[Call] = field(default_factory=list)
    is_hit: threading.Event = field(default_factory=threading.Event)
    _seen: int = 0

    def takes(self, call: Call) -> bool:
        """Whether this call is befallen; counts it."""
        if not self._matches(call) or self.is_spent:
            return False
        self._seen += 1
        if self._seen <= self.skips:
            return False
        self.hits.append(call)
        self.is_hit.set()
        return True

    @property
    def is_spent(self) -> bool:
        return self.times is not None and len(self.hits) >= self.times

    def end(self) -> None:
        """From now on nothing more is befallen."""
        self.times = len(self.hits)

    def _matches(self, call: Call) -> bool:
        return (
            self.verb in {"", call.verb}
            and self.resource in {"", call.resource}
            and self.name in call.name
            and self.subresource in {None, call.subresource}
            and self.when(call)
        )


def _status(code: int, reason: str) -> bytes:
    status = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code}
    return json.dumps({**status, "reason": reason, "message": f"{reason}: injected by the test"}).encode()
