"""How a call is described, and how a request's method and path find it. No HTTP server, no call is carried out here.

The table itself is `table.ROUTES`; the OpenAPI document is made from the same descriptions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import unquote

import msgspec

from mapreduce.coordinator.auth import Caller, CallerKind
from mapreduce.coordinator.port import CoordinatorService
from mapreduce.coordinator.refusals import RefusalCode, Refused, not_found
from mapreduce.coordinator.replies import Answer
from mapreduce.coordinator.tickets import Tickets
from mapreduce.protocol import wire

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")

Method = Literal["GET", "POST", "PUT"]


class NoParameters(msgspec.Struct, frozen=True):
    """The path says all, and the query is not looked at."""


class NoBody(msgspec.Struct, frozen=True):
    """The call has no body; one that is sent is not read."""


#: Types of replies that are no message: how OpenAPI and people see them.
Stream = Literal[
    "application/octet-stream",
    "text/plain; charset=utf-8",
    "text/html; charset=utf-8",
    "text/event-stream",
    "application/json",
    "no content",
]


def never_waits(_parameters: object, _body: object) -> float:
    """Seconds that most calls ask to wait: none."""
    return 0.0


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may use besides its own facts."""

    service: CoordinatorService
    session_of: Callable[[str], str]
    """Makes the session token of a worker, for the present epoch."""
    openapi: Callable[[], bytes]
    """The protocol's description, as JSON."""
    tickets: Tickets
    page_token: Callable[[], str]
    """Makes a token for a page that has bought it."""
    has_page: bool
    """Whether the page is served."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route(Generic[P, B]):
    """One call of the protocol."""

    method: Method
    path: str
    """With parameters in braces, each a whole segment and a field of `parameters`."""
    summary: str
    callers: frozenset[CallerKind]
    """Who may call; empty means everyone, without a token."""
    parameters: type[P]
    """Parameters in path, query and header, texts converted to the fields' types."""
    headers: dict[str, str] = field(default_factory=dict)
    """Those of `parameters` that come as headers: field to header name."""
    body: type[B]
    """`bytes` is taken as it is, NoBody is not read, anything else is decoded from JSON."""
    body_limit_bytes: int = wire.BODY_LIMIT_BYTES
    reply: Any
    """Type of the reply's message, or one of `Stream`."""
    refusals: tuple[RefusalCode, ...] = ()
    """What the service may say no with, besides what every call may meet."""
    carry_out: Callable[[Context, Caller, P, B], Awaitable[Answer]]
    wait_s: Callable[[P, B], float] = never_waits
    """How long the call asks to wait for something to happen."""
    runs_to_end: bool = False
    """Carried out to its end even when the client goes away meanwhile."""


AnyRoute = Route[Any, Any]


class Match(msgspec.Struct, frozen=True):
    """The route of a request, and the texts of its path parameters."""

    route: AnyRoute
    path_parameters: dict[str, str]


@dataclass(slots=True)
class _Node:
    """A position between two segments of a path."""

    children: dict[str, _Node] = field(default_factory=dict)
    parameter: tuple[str, _Node] | None = None
    routes: dict[str, AnyRoute] = field(default_factory=dict)


class MethodRefused(Refused):
    """The path exists, with other methods."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allowed))
        super().__init__("method-not-allowed", f"{method[:20]} is not for this path. It takes {self.allow}.")


class RouteTable:
    """Finds routes: one look-up for a path without parameters, one for each segment otherwise."""

    def __init__(self, routes: Iterable[AnyRoute]) -> None:
        self.routes: Final = tuple(routes)
        self._fixed: Final[dict[str, dict[str, Match]]] = {}
        self._root: Final = _Node()
        self._open: Final = frozenset(route.path for route in self.routes if not route.callers)
        for route in self.routes:
            if "{" in route.path:
                self._add(route)
            else:
                self._fixed.setdefault(route.path, {})[route.method] = Match(route, {})

    def is_open(self, raw_path: str) -> bool:
        """Whether the path may be called without a token."""
        return raw_path in self._open

    def find(self, method: str, raw_path: str) -> Match:
        """The route of a path as it came over the wire; raises Refused `not-found` or `method-not-allowed`."""
        if fixed := self._fixed.get(raw_path):
            if match := fixed.get(method):
                return match
            raise MethodRefused(method, fixed)
        node, texts = self._root, {}
        for segment in raw_path.split("/")[1:]:
            if child := node.children.get(segment):
                node = child
            elif node.parameter and segment:
                name, node = node.parameter
                texts[name] = unquote(segment, errors="replace")
            else:
                raise not_found("such path")
        if route := node.routes.get(method):
            return Match(route, texts)
        if node.routes:
            raise MethodRefused(method, node.routes)
        raise not_found("such path")

    def _add(self, route: AnyRoute) -> None:
        node = self._root
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{"):
                name = segment[1:-1]
                if node.parameter is None:
                    node.parameter = (name, _Node())
                assert node.parameter[0] == name, f"{route.path} names a parameter as no other route does"
                node = node.parameter[1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.routes[route.method] = route
