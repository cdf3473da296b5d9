"""Names and labels of everything that belongs to one job. Pure.

All names come from the job's name and UID, so that two passes, two operators or a job re-created under the same name
can never make the same thing twice, or take the other's for their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from mapreduce.version import __version__

GROUP: Final = "mapreduce.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "MapReduceJob"
PLURAL: Final = "mapreducejobs"

FIELD_MANAGER: Final = "mapreduce-operator"
FINALIZER: Final = "mapreduce.dev/runs"
JOB_LABEL: Final = "mapreduce.dev/job"
UID_LABEL: Final = "mapreduce.dev/job-uid"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
#: On the operator's own pod, whatever its release is called.
OPERATOR_LABELS: Final = {"mapreduce.dev/component": "operator"}
SPEC_DIGEST: Final = "mapreduce.dev/spec-digest"
CODE_DIGEST: Final = "mapreduce.dev/code-digest"

Component = Literal["coordinator", "worker", "reader", "cleanup"]

#: A StatefulSet puts its name and a hash of ten characters into a label of at most 63 (kubernetes/kubernetes#64023),
#: so `BASE-coordinator` may have 52 characters, and BASE 40.
_NAME_CHARS: Final = 28
_UID_CHARS: Final = 8
_LABEL_CHARS: Final = 63
_TOKEN_SECRET: Final = re.compile(r"mr-.+-[0-9a-f]{8}-(admin|worker)")
_OWN_CLAIM: Final = re.compile(r"mr-.+-[0-9a-f]{8}-(log|runs)")


def is_token_secret(name: str) -> bool:
    """Whether a Secret of that name holds the tokens of some job."""
    return _TOKEN_SECRET.fullmatch(name) is not None


def is_own_claim(name: str) -> bool:
    """Whether a claim of that name is one that the operator made for some job, and that goes with it."""
    return _OWN_CLAIM.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one job's children."""

    job: str
    uid: str

    @property
    def base(self) -> str:
        """What all of them begin with; also the folder of the job on its volumes."""
        name = self.job.replace(".", "-")[:_NAME_CHARS].strip("-")
        return f"mr-{name}-{self.uid[:_UID_CHARS]}"

    @property
    def coordinator(self) -> str:
        """The coordinator's StatefulSet, and the Service in front of it."""
        return f"{self.base}-coordinator"

    @property
    def coordinator_pod(self) -> str:
        """The one pod of that StatefulSet."""
        return f"{self.coordinator}-0"

    @property
    def workers(self) -> str:
        """The batch Job whose pods are the workers."""
        return f"{self.base}-workers"

    @property
    def config_map(self) -> str:
        """The immutable snapshot of specification and code."""
        return f"{self.base}-job"

    @property
    def admin_secret(self) -> str:
        """The tokens of those who steer and those who look."""
        return f"{self.base}-admin"

    @property
    def worker_secret(self) -> str:
        """The token by which workers join."""
        return f"{self.base}-worker"

    @property
    def log_claim(self) -> str:
        """The claim of the log, where the operator makes it."""
        return f"{self.base}-log"

    @property
    def runs_claim(self) -> str:
        """The claim of the runs, where the operator makes it."""
        return f"{self.base}-runs"

    @property
    def cleanup(self) -> str:
        """The Job that removes the job's folder from claims that were given to it."""
        return f"{self.base}-cleanup"

    def labels(self, component: Component | None = None) -> dict[str, str]:
        """The labels of a child; `component` says which part of the job it is."""
        named = {} if component is None else {COMPONENT_LABEL: component}
        return {
            "app.kubernetes.io/name": "mapreduce",
            "app.kubernetes.io/instance": self.job[:_LABEL_CHARS].rstrip("-."),
            **named,
            "app.kubernetes.io/managed-by": "mapreduce-operator",
            "app.kubernetes.io/part-of": "mapreduce",
            "app.kubernetes.io/version": __version__,
            **self.selector(),
            JOB_LABEL: self.job[:_LABEL_CHARS].rstrip("-."),
        }

    def selector(self, component: Component | None = None) -> dict[str, str]:
        """The labels by which pods of the job are found."""
        named = {} if component is None else {COMPONENT_LABEL: component}
        return {UID_LABEL: self.uid, **named}


def selector_text(labels: dict[str, str]) -> str:
    """Labels as a label selector is written in a query."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
