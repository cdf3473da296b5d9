"""`mr replay`: one task once more, here, under a debugger."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mapreduce.errors import MapReduceError, TaskFailed, UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder, resolve

if TYPE_CHECKING:
    from mapreduce_cli.replaying import Replayed


@click.command(
    name="replay",
    epilog="""\b
Examples:
  mr replay out/ map-3                   the recorded code on the recorded input; pdb where it fails
  mr replay out/ map-3 --edited wc.py    the same input, with the file as you have corrected it
  mr replay out/ reduce-0 --no-pdb
\b
Exit codes: 0 the task ran to its end, 1 it failed.""",
)
@job_argument()
@click.argument("task", metavar="TASK")
@click.option(
    "--edited", type=click.Path(path_type=Path), metavar="FILE", help="Run this file instead of the recorded code."
)
@click.option(
    "--pdb/--no-pdb", "is_debugged", default=None, help="Stop in the debugger where it fails.  [on a terminal]"
)
@target_options
def command(job: str, task: str, edited: Path | None, is_debugged: bool | None, target: Target) -> int:
    """Run one task again here, on its recorded input, under a debugger.

    Nothing of the job is changed. `breakpoint()` in your code works; what it raises stops in pdb.
    """
    from mapreduce_cli.replaying import Replay

    state, number = _place(resolve(job, target))
    with tempfile.TemporaryDirectory(prefix="mapreduce-replay-") as scratch:
        replay = Replay(state, number, task, edited=edited, scratch=Path(scratch))
        if replay.last_failure:
            _say(f"{task}, {replay.last_failure}")
        try:
            done = replay.run(_say)
        except TaskFailed as failure:
            _say(f"{task} failed again: {failure}")
            return 1
        except MapReduceError:
            raise
        except Exception as error:
            _tell(task, error)
            if is_debugged or (is_debugged is None and sys.stdin.isatty() and sys.stdout.isatty()):
                import pdb

                pdb.post_mortem(error.__traceback__)
            return 1
        print(_describe(task, done))
    return 0


def _place(named: Named) -> tuple[Path, int]:
    """State folder and number of a job whose files are on this machine."""
    match named:
        case OfFolder(folder):
            from mapreduce_cli.commands.logs import state_of

            return state_of(folder)
        case OfCoordinator(at, _, number) if at.folder is not None:
            return at.folder, number
        case OfCoordinator() | OfCluster() | OfClaim():
            raise UsageError(
                "a task is run again where its job's files are, and those of this job are on another machine; "
                "`mr run` the job's manifest here on a sample (--claim NAME=FOLDER), and replay that"
            )


def _describe(task: str, done: Replayed) -> str:
    from mapreduce.units import format_count, format_size

    made = done.made
    lines = [f"{task} ran to its end: {format_count(made.records)} records, {format_size(made.bytes)}"]
    if done.committed is not None:
        same = (
            "the same bytes as the job's own"
            if done.is_same
            else "OTHER bytes than the job's own: is it deterministic?"
        )
        lines.append(f"  {same}")
    lines += [f"  {name}  {format_count(count)}" for name, count in sorted(made.counters.items())]
    return "\n".join(lines)


def _tell(task: str, error: Exception) -> None:
    shown = traceback.format_exception(error)
    print("".join(shown).rstrip(), file=sys.stderr)
    _say(f"{task} failed again, as above")


def _say(text: str) -> None:
    print(f"mr: {text}", file=sys.stderr, flush=True)
