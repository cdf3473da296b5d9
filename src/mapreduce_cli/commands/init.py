"""`mr init`: a new job that runs as it is, with its test and its commands, after three questions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, cast

import click

from mapreduce_cli.starting.kinds import COMPUTE, RECORDS, WHERE, Compute, Records, Where


@click.command(
    name="init",
    epilog="""\b
Examples:
  mr init hits/                                          asks what the records are, what to compute, and where
  mr init hits/ --records jsonl --compute mean --where here      asks nothing
\b
Nothing is ever overwritten.""",
)
@click.argument("folder", metavar="[FOLDER]", type=click.Path(path_type=Path), default=".")
@click.option("--records", type=click.Choice(list(RECORDS)), help="What the records are.")
@click.option("--compute", type=click.Choice(list(COMPUTE)), help="What to compute of them.")
@click.option("--where", type=click.Choice(list(WHERE)), help="Where it will run.")
@click.option("--name", help="Name of the job.  [the folder's]")
def command(
    folder: Path, records: Records | None, compute: Compute | None, where: Where | None, name: str | None
) -> int:
    """Begin a new job: job.py, its test, sample data, and a README with the commands.

    Asks three questions, unless options answer them.
    """
    from mapreduce_cli.starting.writing import Plan, name_for, write

    plan = Plan(
        name=name_for(Path(name)) if name else name_for(folder),
        records=cast("Records", records or _ask("1. What are the records?", "records", RECORDS)),
        compute=cast("Compute", compute or _ask("2. What do you want to know?", "compute", COMPUTE)),
        where=cast("Where", where or _ask("3. Where will it run?", "where", WHERE)),
    )
    for path in write(plan, folder):
        click.echo(f"wrote {os.path.relpath(path)}")
    here = os.path.relpath(folder)
    change = "" if here == "." else f"cd {here} && "
    click.echo(f"next: {change}mr check job.py data/ && mr run job.py data/ -o out/ && mr get out/")
    return 0


def _ask(question: str, option: str, answers: dict[Any, str]) -> str:
    """The answer of a person at a terminal, by number or name; Enter takes the first."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"there is nobody to ask; give --{option} {'|'.join(answers)}")
    click.echo(question, err=True)
    for number, (name, meaning) in enumerate(answers.items(), 1):
        click.echo(f"   {number} {name:<8} {meaning}", err=True)
    names = list(answers)
    choices = [*names, *(str(number) for number in range(1, len(names) + 1))]
    said: str = click.prompt("  ", default="1", type=click.Choice(choices), show_choices=False, err=True)
    return names[int(said) - 1] if said.isdecimal() else said
