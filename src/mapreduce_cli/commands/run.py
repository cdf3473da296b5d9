"""`mr run`: a job on this machine, from start to result."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce_cli.options import JobOptions, begin, claim, job_options

if TYPE_CHECKING:
    from mapreduce.local.preparing import Preparation


@click.command(
    name="run",
    epilog="""\b
Examples:
  mr run wordcount.py 'books/*.txt' -o out/
  mr run wordcount.py books/ -o out/ --workers 4 --reducers 8 --arg min_length=3
  mr run access.py logs/*.gz -o hits/ --format lines --output-format jsonl
  mr run job.yaml                                 a manifest, as kubectl takes it
  mr run job.yaml --claim books=../books          where pvc://books/ is on this machine
  mr run wordcount.py books/a.txt -o try/ --inline    one process; pdb works
\b
Stopped or killed, the same command goes on where it was: nothing committed is done again.
Exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 130 Ctrl-C, 143 SIGTERM.""",
)
@job_options
@click.option(
    "--workers", type=click.IntRange(1, 10_000), metavar="N", help="Worker processes.  [one per CPU, at most 16]"
)
@click.option("--page/--no-page", "has_page", default=True, help="Serve a page about the job while it runs.  [page]")
@click.option(
    "--claim", "claims", type=claim, metavar="NAME=FOLDER", multiple=True,
    help="Folder that stands for a cluster's claim or ConfigMap: pvc://NAME/PATH is read and written there.",
)  # fmt: skip
@click.option("--restart", is_flag=True, help="Drop the work of an unfinished job in the output folder.")
@click.option("--sequential", is_flag=True, help="The plain reference: one process, everything in memory, no retries.")
@click.option("--inline", is_flag=True, help="The engine in one process, for pdb; exceptions come through as they are.")
def command(
    job: JobOptions,
    workers: int | None,
    has_page: bool,
    claims: tuple[tuple[str, Path], ...],
    restart: bool,
    sequential: bool,
    inline: bool,
) -> int:
    """Run a job here, with worker processes of its own, and wait for it.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml). INPUTs are files, folders or globs;
    quote a glob that matches thousands of files.
    """
    if sequential and inline:
        raise click.UsageError("--sequential and --inline exclude each other")
    preparation = begin(job, replicas=workers, claims=dict(claims))
    try:
        if not sequential and not inline:
            return _run(preparation, workers=workers, restart=restart, has_page=has_page)
        from mapreduce_cli.oneprocess import run_in_this_process

        return run_in_this_process(preparation, is_sequential=sequential, restart=restart)
    finally:
        preparation.abandon()


def _run(preparation: Preparation, *, workers: int | None, restart: bool, has_page: bool) -> int:
    from mapreduce.local.paths import typed_folder
    from mapreduce.local.preflight import default_worker_count
    from mapreduce.local.progress import make_watcher
    from mapreduce.local.run import RunRequest, run
    from mapreduce.local.success import read_success
    from mapreduce_cli.summary import describe_done, describe_failure, this_command

    settings = preparation.workers
    request = RunRequest(
        output=preparation.output,
        prepare=preparation.finish,
        workers=workers or settings.replicas or default_worker_count(),
        slots=settings.slots,
        may_overwrite=preparation.may_overwrite,
        restart=restart,
        owns_process=True,
        has_page=has_page,
    )
    report = run(request, make_watcher())
    output = shown_path(report.output)
    if report.status.state != "Complete":
        story = describe_failure(report.status, logs=f"mr logs {typed_folder(output)}", retry=this_command())
        print(f"mr: {story}", file=sys.stderr)
        return 1
    success = read_success(report.output / "_SUCCESS")
    summary = describe_done(
        report.status,
        output=output,
        total_s=report.total_s,
        phase_s=report.phase_s,
        workers=report.workers,
        parts=len(success.parts) if success is not None else 0,
    )
    print(summary)
    return 0


def shown_path(path: Path) -> str:
    """A folder as a person would name it here: relative if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
