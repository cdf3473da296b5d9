"""Draws docs/states.md from the two tables of `mapreduce.scheduling.transitions`.

python tools/draw_states.py            writes the page
python tools/draw_states.py --check    exit code 1 when the page is not what the tables say
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from mapreduce.scheduling.records import Record
from mapreduce.scheduling.transitions import JOB_TRANSITIONS, TASK_TRANSITIONS, JobPhase, TaskState

PAGE = Path(__file__).resolve().parents[1] / "docs" / "states.md"

Row: TypeAlias = tuple[str, type[Record], str]
"""From, record, to."""

HEAD = """\
# States of jobs and tasks

Drawn from the tables in `src/mapreduce/scheduling/transitions.py` by `tools/draw_states.py`; a test compares this page
with them. What is not in a table is illegal: it raises, and changes nothing. Each arrow is a record of the write-ahead
log, so that replaying the log takes the same way through the same tables.
"""


def render() -> str:
    """The whole page."""
    job_rows = [(phase.value, record, to.value) for (phase, record), tos in JOB_TRANSITIONS.items() for to in tos]
    task_rows = [(_title(state), record, _title(to)) for (state, record), to in TASK_TRANSITIONS.items()]
    final = [phase.value for phase in JobPhase if phase.is_final]
    return "\n".join(
        [
            HEAD,
            *_section("Job", JobPhase.QUEUED.value, job_rows, final),
            *_section("Task", _title(TaskState.PENDING), task_rows, ()),
            "## Records\n",
            *_record_lines(job_rows + task_rows),
            "",
        ]
    )


def _title(state: TaskState) -> str:
    return state.name.capitalize()


def _section(name: str, first: str, rows: list[Row], final: Iterable[str]) -> list[str]:
    diagram = [f"    [*] --> {first}"]
    diagram += [f"    {start} --> {end}: {', '.join(records)}" for (start, end), records in _arrows(rows).items()]
    diagram += [f"    {state} --> [*]" for state in final]
    table = ["| in state | on record | becomes |", "|---|---|---|"]
    table += [f"| {start} | `{record.__name__}` | {end} |" for start, record, end in rows]
    return [f"## {name}\n", "```mermaid", "stateDiagram-v2", *diagram, "```\n", *table, ""]


def _arrows(rows: list[Row]) -> dict[tuple[str, str], list[str]]:
    """One arrow for each pair of states, with all its records."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for start, record, end in rows:
        arrows.setdefault((start, end), []).append(record.__name__)
    return arrows


def _record_lines(rows: list[Row]) -> list[str]:
    """What each record means: the first paragraph of its docstring, in order of first use."""
    meanings = {record: (inspect.getdoc(record) or "").split("\n\n")[0] for _, record, _ in rows}
    return [f"- `{record.__name__}`: {' '.join(text.split())}" for record, text in meanings.items()]


def main() -> None:
    """Write the page, or compare it."""
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.name} differs from the tables: run tools/draw_states.py")


if __name__ == "__main__":
    main()
