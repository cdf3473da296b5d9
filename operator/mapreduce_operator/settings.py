"""What the operator is told by its environment: one frozen record, built once at the start and passed down.

Every variable begins with `MR_`; the chart sets them. What a job may ask for itself is in its specification.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from mapreduce.errors import UsageError

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
LogFormat = Literal["text", "json"]

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this operator works."""

    worker_image: str = "mapreduce-worker"
    """Image of coordinators and agents, and of executors where the job names none."""
    worker_image_pull_policy: PullPolicy | None = None
    """When that image is pulled, where the job does not say; None: Kubernetes' own default."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets, in the jobs' namespaces, with which that image is pulled."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that are looked after; empty: all."""
    coordinator_url: str = "http://{service}.{namespace}.svc:8080"
    """How a job's coordinator is reached."""
    identity: str = ""
    """Who holds the Lease: the name of this operator's pod."""
    lease_namespace: str = ""
    """Where the Lease is; empty: no election, because only one operator can be running anyway."""
    lease_name: str = "mapreduce-operator"
    lease_s: float = 15.0
    """How long the Lease holds without renewal; it is renewed much more often."""
    watch_s: float = 60.0
    """Length of one watch request; one that is silent for a quarter longer is given up and begun again."""
    request_s: float = 30.0
    """Longest time of one request to the API server."""
    health_port: int = 0
    """Where `/healthz` and `/readyz` answer; 0: nowhere."""
    metrics_port: int = 0
    """Where Prometheus reads; 0: nowhere."""
    passes_at_once: int = 32
    """Jobs that are worked on at the same time."""
    poll_s: float = 2.0
    """Time between two questions to a coordinator, as long as there are few jobs."""
    polls_per_s: float = 50.0
    """Questions to all coordinators together; with many jobs each one is asked less often."""
    resync_s: float = 300.0
    """Time between two complete looks at a job and all its children, against lost events and deletions by hand."""
    node_lost_s: float = 10.0
    """How long a node may be silent before pods on it are given up."""
    cleanup_deadline_s: float = 120.0
    """How long the deletion of a job may wait for the removal of what it left on claims that stay."""
    replica_grace_s: float = 120.0
    """How long workers with shuffle Peer may stay, when they are told to go, for runs that are not copied yet.

    Not longer by default: Kubernetes looks at a namespace that is being deleted again after half of its pods' grace.
    """
    wind_down_s: float = 60.0
    """How long workers may take to end after the job ended."""
    has_network_policies: bool = False
    """Whether each job gets a NetworkPolicy."""
    api_server_cidrs: tuple[str, ...] = ()
    """Addresses of the API server, whose proxy brings `mr` to coordinators; empty: any, guarded by the token alone."""
    log_level: str = "INFO"
    log_format: LogFormat = "text"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings. Raises `UsageError`, naming the variable."""
        read = _Reader(environment)
        default = cls()
        policy = read.choice("MR_WORKER_IMAGE_PULL_POLICY", "", ("", "Always", "IfNotPresent", "Never"))
        return cls(
            worker_image=read.text("MR_WORKER_IMAGE", default.worker_image),
            worker_image_pull_policy=cast("PullPolicy", policy) if policy else None,
            image_pull_secrets=read.names("MR_IMAGE_PULL_SECRETS"),
            namespaces=read.names("MR_NAMESPACES"),
            coordinator_url=read.text("MR_COORDINATOR_URL", default.coordinator_url),
            identity=read.text("MR_POD_NAME", socket.gethostname()),
            lease_namespace=read.text("MR_LEASE_NAMESPACE", read.text("MR_POD_NAMESPACE", "")),
            lease_name=read.text("MR_LEASE_NAME", default.lease_name),
            lease_s=read.number("MR_LEASE_SECONDS", default.lease_s),
            watch_s=read.number("MR_WATCH_SECONDS", default.watch_s),
            request_s=read.number("MR_REQUEST_SECONDS", default.request_s),
            health_port=read.port("MR_HEALTH_PORT"),
            metrics_port=read.port("MR_METRICS_PORT"),
            passes_at_once=int(read.number("MR_PASSES_AT_ONCE", default.passes_at_once)),
            poll_s=read.number("MR_POLL_SECONDS", default.poll_s),
            polls_per_s=read.number("MR_POLLS_PER_SECOND", default.polls_per_s),
            resync_s=read.number("MR_RESYNC_SECONDS", default.resync_s),
            node_lost_s=read.number("MR_NODE_LOST_SECONDS", default.node_lost_s),
            cleanup_deadline_s=read.number("MR_CLEANUP_DEADLINE_SECONDS", default.cleanup_deadline_s),
            replica_grace_s=read.number("MR_REPLICA_GRACE_SECONDS", default.replica_grace_s),
            wind_down_s=read.number("MR_WIND_DOWN_SECONDS", default.wind_down_s),
            has_network_policies=read.flag("MR_NETWORK_POLICIES", False),
            api_server_cidrs=read.names("MR_API_SERVER_CIDRS"),
            log_level=read.choice("MR_LOG_LEVEL", default.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
            log_format=cast("LogFormat", read.choice("MR_LOG_FORMAT", default.log_format, ("text", "json"))),
        )


class _Reader:
    """Texts of the environment as values of a type, with errors that name the variable."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._environment.get(name, "").split(",") if part.strip())

    def number(self, name: str, default: float) -> float:
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value < float("inf"):
            raise UsageError(f"{name} is {text!r}. Set it to a number above 0.")
        return value

    def port(self, name: str) -> int:
        text = self.text(name, "0")
        if not text.isascii() or not text.isdigit() or int(text) > 65_535:
            raise UsageError(f"{name} is {text!r}. Set it to a port, or to 0 for none.")
        return int(text)

    def flag(self, name: str, default: bool) -> bool:
        text = self._environment.get(name)
        if text is None:
            return default
        if text.strip().lower() not in _TRUE | _FALSE:
            raise UsageError(f"{name} is {text!r}. Set it to true or false.")
        return text.strip().lower() in _TRUE

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise UsageError(f"{name} is {text!r}. Set it to one of {', '.join(filter(None, choices))}.")
        return text
