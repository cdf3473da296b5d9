"""`mr logs`: what the attempts of a job printed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mapreduce.errors import UsageError
from mapreduce_cli.connect import Address, Found, as_folder, coordinator_options, find, find_job


@click.command(
    name="logs",
    epilog="""\b
Examples:
  mr logs out/                      of a `mr run`; no coordinator need be alive
  mr logs out/ --task map-3
  mr logs 2 --task reduce-0
\b
Each attempt's output is under a heading `==> map-3/attempt-2 <==`; of a very long one the middle is left out.""",
)
@click.argument("job", metavar="JOB|OUT")
@click.option("--task", metavar="TASK", help="Only this task, such as map-3 or reduce-0.")
@coordinator_options
def command(job: str, task: str | None, address: Address) -> int:
    """Show what a job's attempts printed, and why they failed.

    That is stdout, stderr and traceback of each attempt, oldest first.
    """
    folder = as_folder(job)
    if folder is not None:
        state, number = _state_of(folder)
        return _show(state, number, task)
    found = find(address)
    client = found.client()
    number = find_job(client, job)
    if found.folder is not None:
        return _show(found.folder, number, task)
    return _show_remote(found, number, task)


def _state_of(folder: Path) -> tuple[Path, int]:
    """State folder and job id behind an output folder."""
    from mapreduce.local.claiming import look_into
    from mapreduce.local.paths import OutputPaths

    paths = OutputPaths(folder.absolute())
    owner = look_into(paths).owner
    if owner is None:
        raise UsageError(f"{folder} holds no job of ours")
    state = Path(owner.state_folder) if owner.state_folder else paths.state
    return state, owner.job or 1


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


def _show_remote(found: Found, job: int, task: str | None) -> int:
    client = found.client()
    status, _ = client.status(job)
    tasks = [task] if task is not None else sorted({sample.id.task for sample in status.failures})
    if not tasks:
        click.echo("mr: no attempt failed; name a task with --task to see what it printed", err=True)
    for name in tasks:
        sys.stdout.buffer.write(client.logs(job, name))
    sys.stdout.buffer.flush()
    return 0
