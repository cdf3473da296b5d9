"""`mr diff`: two outputs, partition by partition."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce.errors import UsageError


@click.command(
    name="diff",
    epilog="""\b
Examples:
  mr diff out-before/ out-after/
  mr diff out/ reference/ --quiet && echo same
\b
Exit codes: 0 the same bytes in every part, 1 they differ, 2 one of them is no finished output.""",
)
@click.argument("one", metavar="A", type=click.Path(path_type=Path))
@click.argument("other", metavar="B", type=click.Path(path_type=Path))
@click.option("--quiet", is_flag=True, help="Say nothing; the exit code tells.")
def command(one: Path, other: Path, quiet: bool) -> int:
    """Compare two finished outputs, part by part.

    Where two parts begin to differ, the first line that does is shown of both.
    """
    from mapreduce.local.comparing import compare_outputs
    from mapreduce.local.results import open_results
    from mapreduce.units import format_count
    from mapreduce_cli.summary import plural

    for folder in (one, other):
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; name two outputs of jobs")
    found = compare_outputs(open_results(one), open_results(other))
    if quiet:
        return 1 if found.differences else 0
    for difference in found.differences:
        click.echo(f"{difference.part}  {difference.sentence}")
        for mark, line in (("<", difference.one), (">", difference.other)):
            if line is not None:
                click.echo(f"  {mark} {line}")
    if not found.differences:
        click.echo(f"the same: {plural(found.part_count, 'part')}, {plural(found.record_count, 'record')}")
        return 0
    differ = "part differs" if found.part_count == 1 else "parts differ"
    click.echo(f"{format_count(len(found.differences))} of {format_count(found.part_count)} {differ}")
    return 1
