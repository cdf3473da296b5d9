"""Everything that the operator may do for a job, as data. Each action may be repeated without harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["ConfigMap", "Secret", "Service", "PersistentVolumeClaim", "StatefulSet", "Job", "Pod", "NetworkPolicy"]


@dataclass(frozen=True, slots=True)
class _OfManifest:
    manifest: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name."""
        return self.manifest["kind"], self.manifest["metadata"]["name"]


@dataclass(frozen=True, slots=True)
class Create(_OfManifest):
    """Make a child; one that exists already is left as it is."""


@dataclass(frozen=True, slots=True)
class Check(_OfManifest):
    """Ask whether a child could be made, and make nothing: what is refused shows before anything else is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWorkers:
    """Set size and suspension of the workers' Job, the only fields of it that ever change."""

    name: str
    parallelism: int | None = None
    is_suspended: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCoordinator:
    """Start or end the coordinator's pod."""

    name: str
    replicas: Literal[0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a child, if it still is the one that was seen."""

    kind: Kind
    name: str
    uid: str
    is_forced: bool = False
    """Without waiting for the kubelet: for pods of nodes that do not answer."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Keep the job's object until what it leaves on claims that stay is removed."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the job's object go."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Remove the job's object, whose time to live is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellGone:
    """Tell the coordinator which workers' pods ended, so that it need not wait for their leases."""

    workers: tuple[str, ...]
    is_charged: bool
    """Whether their tasks may be at fault."""
    reason: str


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Have the coordinator end the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """A Kubernetes Event about the job."""

    is_warning: bool
    reason: str
    message: str


Action = (
    Create
    | Check
    | ChangeWorkers
    | ScaleCoordinator
    | Delete
    | AddFinalizer
    | RemoveFinalizer
    | DeleteJob
    | TellGone
    | CancelJob
    | Announce
)
