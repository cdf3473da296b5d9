"""Writes docs/reference/cli.md from the command line's own help: each command with its options and examples.

python tools/draw_cli.py            writes the page
python tools/draw_cli.py --check    exit code 1 when the page is not what the commands say
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from mapreduce_cli.main import COMMANDS, cli

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"

_HEAD: Final = """# Commands

Written by `tools/draw_cli.py` from the commands' own help, `mr COMMAND --help`; do not edit.

A job is named by its **output** (a folder of this machine, or `pvc://CLAIM/PATH` in a cluster), by its **id** at a
coordinator, or by its **name**; `mrj/NAME` always means a MapReduceJob. Where a name is looked for, in this order: in
the cluster that `-n`, `--context`, `--kubeconfig` or `MR_NAMESPACE`, `MR_CONTEXT`, `MR_KUBECONFIG` name; at the
coordinator that `--dir` or `--coordinator` names; at the one of yours that runs here; in the kubeconfig's cluster.
`kubectl mr ...` is the same command line and means the cluster; its completion comes from `kubectl_complete-mr`.

Lists take `-o table|wide|json|yaml|name`. Commands for clusters need the Kubernetes client:
`pip install 'kubernetes>=36'`.

Exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 3 coordinator or cluster unreachable, 130 Ctrl-C, 143
SIGTERM.
"""


def render() -> str:
    """The whole page."""
    sections = [_HEAD]
    for name in COMMANDS:
        command = importlib.import_module(f"mapreduce_cli.commands.{COMMANDS[name][0]}").command
        assert isinstance(command, click.Command)
        context = click.Context(command, info_name=name, parent=click.Context(cli, info_name="mr"))
        sections.append(_section(command, context, level=2))
        if isinstance(command, click.Group):
            for below_name, below in command.commands.items():
                below_context = click.Context(below, info_name=below_name, parent=context)
                sections.append(_section(below, below_context, level=3))
    return "\n".join(sections)


def _section(command: click.Command, context: click.Context, *, level: int) -> str:
    lines = [f"{'#' * level} {context.command_path}", ""]
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines += ["```", re.sub(r"\s+", " ", usage), "```", ""]
    lines += [_paragraphs(command.help or ""), ""]
    rows = list(_options(command, context))
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    epilog = command.epilog or ""
    examples, _, rest = epilog.replace("\b\n", "\b").removeprefix("\b").partition("\b")
    if examples.strip():
        shown = [line.removeprefix("  ") for line in examples.strip("\n").split("\n") if line != "Examples:"]
        lines += ["```text", *shown, "```", ""]
    if rest.strip():
        lines += [_escaped(re.sub(r"\s+", " ", rest.strip())), ""]
    return "\n".join(lines)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option) or "--help" in parameter.opts:
            continue
        record = parameter.get_help_record(context)
        if record is not None:
            spelling, meaning = record
            yield f"| `{spelling.replace('|', chr(92) + '|')}` | {_escaped(meaning)} |"


def _paragraphs(text: str) -> str:
    return "\n\n".join(_escaped(re.sub(r"\s+", " ", part.strip())) for part in text.split("\n\n"))


def _escaped(text: str) -> str:
    """Text that neither ends a table's cell nor opens a tag."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def main() -> None:
    """Write the page, or compare it."""
    wanted = render()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        sys.exit(f"{PAGE.name} differs from the commands: run tools/draw_cli.py")


if __name__ == "__main__":
    main()
