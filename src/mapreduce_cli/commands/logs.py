"""`mr logs`: what the attempts of a job printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import OfClaim, OfCluster, OfCoordinator, OfFolder, resolve

if TYPE_CHECKING:
    from mapreduce.protocol.client import CoordinatorClient


@click.command(
    name="logs",
    epilog="""\b
Examples:
  mr logs out/                      of a `mr run`; no coordinator need be alive
  mr logs out/ --task map-3
  mr logs 2 --task reduce-0
  mr logs wordcount -n team-a --task map-3
  mr logs wordcount -n team-a --coordinator-pod -f
  mr logs wordcount -n team-a --worker mr-wordcount-1a2b3c4d-workers-x7k2p
\b
Each attempt's output is under a heading `==> map-3/attempt-2 <==`; of a very long one the middle is left out.""",
)
@job_argument()
@click.option("--task", metavar="TASK", help="Only this task, such as map-3 or reduce-0.")
@click.option("--coordinator-pod", is_flag=True, help="What the coordinator's own container says (clusters).")
@click.option("--worker", metavar="POD", help="What a worker's containers say (clusters).")
@click.option("-f", "--follow", is_flag=True, help="With --coordinator-pod or --worker: go on as more comes.")
@click.option(
    "--reader-image",
    envvar="MR_READER_IMAGE",
    metavar="IMAGE",
    help="Worker image of the pod that reads a suspended job's volume.  [$MR_READER_IMAGE, else found]",
)
@target_options
def command(
    job: str,
    task: str | None,
    coordinator_pod: bool,
    worker: str | None,
    follow: bool,
    reader_image: str | None,
    target: Target,
) -> int:
    """Show what a job's attempts printed, and why they failed.

    That is stdout, stderr and traceback of each attempt, oldest first: of one task by --task, else of every task whose
    files can be read from here. A coordinator elsewhere or in a cluster shows the tasks that failed last.
    """
    pods = [option for option, given in (("--coordinator-pod", coordinator_pod), ("--worker", worker)) if given]
    if len(pods) > 1 or (pods and task is not None):
        raise click.UsageError("--task, --coordinator-pod and --worker exclude each other")
    if follow and not pods:
        raise click.UsageError("--follow goes with --coordinator-pod or --worker")
    match resolve(job, target):
        case OfCluster() as found:
            from mapreduce_cli.cluster import logs

            if pods:
                return logs.show_pods(found, worker=worker, follow=follow)
            return logs.show_tasks(found, task, reader_image)
        case _ if pods:
            raise UsageError(f"{pods[0]} is for jobs in a cluster; add -n NAMESPACE to name one there")
        case OfClaim(_, uri):
            raise UsageError(f"the job that wrote {uri} is gone, and its logs with it; `mr get {uri}` reads the output")
        case OfFolder(folder):
            state, number = state_of(folder)
            return _show(state, number, task)
        case OfCoordinator(at, client, number):
            if at.folder is not None:
                return _show(at.folder, number, task)
            return show_remote(client, number, task)


def state_of(folder: Path) -> tuple[Path, int]:
    """State folder and job id behind an output folder. Raises UsageError when there is none, or none with a log."""
    from mapreduce.local.claiming import look_into
    from mapreduce.local.paths import OutputPaths

    paths = OutputPaths(folder.absolute())
    owner = look_into(paths).owner
    if owner is None:
        raise UsageError(f"{folder} holds no job of ours, or none yet; name the folder that was given as -o")
    if owner.mode:
        raise UsageError(
            f"{folder} is the output of a run with --{owner.mode}, which keeps no log; run it without --{owner.mode}"
        )
    state = Path(owner.state_folder) if owner.state_folder else paths.state
    return state, owner.job or 1


def served_by(folder: Path) -> tuple[CoordinatorClient, int] | None:
    """A client for the coordinator that serves an output folder, and the job's id there; None while nobody does."""
    from mapreduce.protocol.endpoint import ENDPOINT_FILE
    from mapreduce_cli.connect import Found

    state, number = state_of(folder)
    return (Found(folder=state).client(), number) if (state / ENDPOINT_FILE).is_file() else None


def _show(state: Path, job: int, task: str | None) -> int:
    from mapreduce.coordinator.store import Store

    store = Store(state)
    if not store.job_folder(job).is_dir():
        raise UsageError(f"there is no job {job} in {state}; `mr ls` lists them")
    tasks = [task] if task is not None else _tasks_with_logs(store.logs_folder(job))
    shown = False
    for name in tasks:
        content = store.task_log(job, name)
        if content is None:
            raise UsageError(f"{name!r} is no task; tasks are called map-3 or reduce-0")
        sys.stdout.buffer.write(content)
        shown = shown or bool(content)
    sys.stdout.buffer.flush()
    if not shown:
        click.echo(f"mr: {'task ' + task if task else f'job {job}'} printed nothing", err=True)
    return 0


def _tasks_with_logs(folder: Path) -> list[str]:
    """Tasks that printed something, maps first, by index."""
    tasks = {(path.name.split(".")[0]) for path in folder.glob("*.log") if path.stat().st_size}
    parsed = sorted((kind, int(index)) for kind, _, index in (task.rpartition("-") for task in tasks))
    return [f"{kind}-{index}" for kind, index in parsed]


def show_remote(client: CoordinatorClient, job: int, task: str | None) -> int:
    """From a coordinator elsewhere: one task, or those of the latest failures, which is what it tells of."""
    if task is not None:
        content = client.logs(job, task)
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        if not content:
            click.echo(f"mr: task {task} printed nothing", err=True)
        return 0
    status, _ = client.status(job)
    failed = {(sample.id.kind, sample.id.index) for sample in status.failures}
    tasks = [f"{kind}-{index}" for kind, index in sorted(failed)]
    if not tasks:
        click.echo("mr: no attempt failed; name a task with --task to see what it printed", err=True)
    for name in tasks:
        sys.stdout.buffer.write(client.logs(job, name))
    sys.stdout.buffer.flush()
    return 0
