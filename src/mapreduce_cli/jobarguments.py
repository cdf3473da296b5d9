"""The argument that names a job, alike for all commands, completed by a shell with the jobs there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Somebody waits with a finger on the tab key.
_DEADLINE_S: Final = 2.0


def job_argument(metavar: str = "JOB|OUT", **settings: Any) -> Callable[[_Command], _Command]:
    """The argument `job` (or the `name` given), which names a job as `mapreduce_cli.jobnames` says."""
    name = settings.pop("name", "job")
    return click.argument(name, metavar=metavar, shell_complete=_complete, **settings)


def _complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of jobs where the words before say that they are; output folders where a coordinator here is meant."""
    from click.shell_completion import CompletionItem

    from mapreduce.errors import MapReduceError

    try:
        names, may_be_folder = _names(context)
    except MapReduceError:
        names, may_be_folder = [], False
    items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [*items, CompletionItem(incomplete, type="dir")] if may_be_folder else items


def _names(context: click.Context) -> tuple[list[str], bool]:
    """Names of the jobs there are, and whether a folder could be meant, too."""
    from mapreduce.coordinator.runtimefile import read_notes
    from mapreduce_cli.cluster.access import ClusterAddress, has_kubeconfig
    from mapreduce_cli.connect import Address, find
    from mapreduce_cli.main import PLUGIN

    given = context.params
    cluster = ClusterAddress(given.get("namespace"), given.get("context"), given.get("kubeconfig"))
    address = Address(given.get("dir_"), given.get("coordinator"), given.get("token_file"))
    means_coordinator = address.folder is not None or address.url is not None
    means_cluster = not means_coordinator and (
        context.find_root().obj == PLUGIN or cluster != ClusterAddress() or "dir_" not in given
    )
    if means_cluster or (not means_coordinator and not read_notes() and has_kubeconfig()):
        from mapreduce_cli.cluster.access import connect
        from mapreduce_cli.cluster.jobs import Jobs

        found = Jobs(connect(cluster, deadline_s=_DEADLINE_S)).list()
        return sorted(job.name for job in found), not means_cluster
    if not means_coordinator and not read_notes():
        return [], True
    jobs = find(address).client(deadline_s=_DEADLINE_S).statuses().jobs
    return sorted({str(job.job) for job in jobs} | {job.name for job in jobs}), True
