"""Which job a person means: the one module that decides. By id, by resource name, or by output.

    3                     job 3 of a coordinator
    wordcount             a job by name: in the cluster where one is meant, else at the coordinator that runs here
    mrj/wordcount         a MapReduceJob, as `-o name` and kubectl print it
    out/                  the output folder of a job, on this machine
    pvc://results/wc      the output of a MapReduceJob; it may be gone

A bare name with no option is looked for at the coordinator of this user that runs here, and only where none runs in the
cluster of the kubeconfig: what is near and started on purpose goes first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.connect import Address, Found, find, find_job

if TYPE_CHECKING:
    from mapreduce.protocol.client import CoordinatorClient
    from mapreduce_cli.cluster.access import Cluster
    from mapreduce_cli.cluster.jobs import ClusterJob, Jobs
    from mapreduce_cli.cluster.options import Target

_SCHEME = "pvc://"


@dataclass(frozen=True, slots=True)
class OfFolder:
    """A job by its output folder on this machine."""

    folder: Path


@dataclass(frozen=True, slots=True)
class OfCoordinator:
    """A job of a coordinator outside clusters."""

    found: Found
    client: CoordinatorClient
    number: int
    address: Address = field(default_factory=Address)
    """What the command line said about the coordinator."""

    @property
    def command_name(self) -> str:
        """How messages name it in a command to type: with the options that lead there."""
        return f"{self.number}{self.address.options}"


@dataclass(frozen=True, slots=True)
class OfCluster:
    """A MapReduceJob that exists."""

    jobs: Jobs
    job: ClusterJob

    @property
    def cluster(self) -> Cluster:
        """Where it is."""
        return self.jobs.cluster

    @property
    def command_name(self) -> str:
        """How messages name it in a command to type: with the options that lead there."""
        return f"{self.job.name}{self.cluster.address.options}"


@dataclass(frozen=True, slots=True)
class OfClaim:
    """An output on a claim whose MapReduceJob is gone."""

    jobs: Jobs
    uri: str


Named = OfFolder | OfCoordinator | OfCluster | OfClaim


def resolve(name: str, target: Target) -> Named:
    """The job that `name` means. Raises UsageError saying where it was looked for, Unreachable."""
    if name.startswith(_SCHEME):
        if target.means_coordinator:
            raise UsageError(f"{name} is an output in a cluster: leave out --dir and --coordinator")
        jobs = jobs_of(target)
        job = jobs.with_output(name)
        return OfCluster(jobs, job) if job is not None else OfClaim(jobs, name)
    resource = _resource_name(name)
    if resource is not None and not target.means_coordinator:
        jobs = jobs_of(target)
        return OfCluster(jobs, jobs.get(resource))
    if target.means_cluster:
        if os.sep in name:
            if not target.is_typed:
                return OfFolder(Path(name))
            raise UsageError(f"{name} is no name of a MapReduceJob; name it, or its output as pvc://CLAIM/PATH")
        jobs = jobs_of(target)
        return OfCluster(jobs, jobs.get(name))
    folder = None if target.means_coordinator else as_folder(name)
    if folder is not None:
        return OfFolder(folder)
    if not target.means_coordinator and not name.isdecimal() and not _runs_here():
        return _in_default_cluster(name, target)
    found = find(target.address)
    client = found.client()
    return OfCoordinator(found, client, find_job(client, name), target.address)


def jobs_of(target: Target) -> Jobs:
    """The jobs of the cluster that the command line means."""
    from mapreduce_cli.cluster.access import connect
    from mapreduce_cli.cluster.jobs import Jobs

    return Jobs(connect(target.cluster))


def in_cluster(name: str, target: Target) -> OfCluster:
    """A job that must be a MapReduceJob, for commands that mean nothing elsewhere. Raises UsageError."""
    match resolve(name, target):
        case OfCluster() as found:
            return found
        case OfClaim(_, uri):
            raise UsageError(f"no MapReduceJob writes to {uri}; `mr ls` lists them")
        case OfFolder(folder):
            raise UsageError(f"{folder} is a folder of this machine, and this command is for jobs in a cluster")
        case OfCoordinator(_, client, number):
            raise UsageError(
                f"job {number} is one of the coordinator at {client.address()}, and this command is for jobs in a "
                f"cluster; add -n NAMESPACE to name one there"
            )


def means_cluster(target: Target) -> bool:
    """Whether a command without a job (`mr ls`, `mr submit`) means the cluster, by the same order as for names."""
    if target.means_cluster or target.means_coordinator:
        return target.means_cluster
    if _runs_here():
        return False
    from mapreduce_cli.cluster.access import has_kubeconfig

    return has_kubeconfig()


def as_folder(name: str) -> Path | None:
    """The output folder that a person means by `name`, or None when it is a job's id or name."""
    if name.isdecimal() and not name.startswith("0"):
        return None
    path = Path(name)
    return path if path.is_dir() or os.sep in name else None


def _runs_here() -> bool:
    from mapreduce.coordinator.runtimefile import read_notes

    return bool(read_notes())


def _in_default_cluster(name: str, target: Target) -> Named:
    from mapreduce_cli.cluster.access import has_kubeconfig

    if not has_kubeconfig():
        raise Unreachable(
            f"{name!r} is no folder, no coordinator of yours runs here, and there is no kubeconfig; name an output "
            f"folder, or give --dir, --coordinator or --kubeconfig"
        )
    jobs = jobs_of(target)
    return OfCluster(jobs, jobs.get(name))


def _resource_name(name: str) -> str | None:
    """`wc` of `mrj/wc` and of every other spelling of the resource; None for anything else."""
    kind, slash, rest = name.partition("/")
    words = ("mapreducejob", "mapreducejobs", "mrj", "mapreducejob.mapreduce.dev", "mapreducejobs.mapreduce.dev")
    return rest if slash and kind in words and rest and "/" not in rest else None
