"""Sending traces to a collector: OTLP over HTTP, as JSON. Standard library only; what a trace says is `page.otlp`.

Where to is told by the variables that every OpenTelemetry SDK reads (OTEL_EXPORTER_OTLP_ENDPOINT and its relatives).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from mapreduce.errors import Unreachable, UsageError

_PATH: Final = "/v1/traces"
_TIMEOUT_S: Final = 10.0
_SHOWN_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class TraceTarget:
    """Where traces go."""

    url: str
    """Whole, with its path."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold a token, so they are never shown."""
    service: str = "mapreduce"
    """The name of the service in the traces."""

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str]) -> Self:
        """A collector's address as a person gives it, with headers of the environment. Raises UsageError."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r} is no address of a collector; write http://HOST:4318")
        whole = url if parts.path.rstrip("/").endswith(_PATH) else url.rstrip("/") + _PATH
        service = environment.get("OTEL_SERVICE_NAME") or "mapreduce"
        return cls(whole, _headers(environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")), service)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """What the environment asks for; None: nothing, or what only gRPC could give.

        Nothing is refused: the variables may be meant for other programs.
        """
        if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if not url or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").startswith("grpc"):
            return None
        try:
            return cls.of(url, environment)
        except UsageError:
            return None


def send(target: TraceTarget, bodies: Iterable[bytes]) -> int:
    """Send requests, one after the other; how many there were. Blocking. Raises Unreachable."""
    import http.client  # these cost as much as all else that a start imports
    import urllib.error
    import urllib.request

    count = 0
    for body in bodies:
        request = urllib.request.Request(  # noqa: S310 - `of` has looked at the scheme
            target.url, body, {"Content-Type": "application/json", **target.headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_SHOWN_BYTES).decode("utf-8", "replace").strip()
            raise Unreachable(f"the collector at {_shown(target)} answered {error.code}: {said}".rstrip(": ")) from None
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Unreachable(f"the collector at {_shown(target)} cannot be reached: {cause}") from None
        count += 1
    return count


def _headers(text: str) -> dict[str, str]:
    """`key=value` pairs between commas, both percent-encoded (W3C baggage, as OpenTelemetry has it)."""
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _shown(target: TraceTarget) -> str:
    """The address without user and password."""
    parts = urlsplit(target.url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
