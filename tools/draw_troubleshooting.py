"""Writes docs/troubleshooting.md: every reason that a job may give, with its sentence and its remedy, by what one sees.

python tools/draw_troubleshooting.py            writes the page
python tools/draw_troubleshooting.py --check    exit code 1 when the page is not what the code says

The words are those of `mapreduce_operator.reasons`, which `mr why`, conditions and the reference take, too. Here is
only which of them belong together, and what a person sees first.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mapreduce_operator.reasons import REASONS, Reason
from tools.draw_defaults import cell

PAGE = Path(__file__).resolve().parents[1] / "docs" / "troubleshooting.md"

_HEAD: Final = """# Troubleshooting

Written by `tools/draw_troubleshooting.py` from the reasons that the product knows; do not edit.

Begin with one command. It puts together what coordinator, log and cluster know, and says one cause and its remedy:

<!-- test: no: what it says depends on the job -->
```sh
mr why JOB                    # a folder, an id, a name; in a cluster with -n NAMESPACE
mr doctor -n NAMESPACE        # nothing works at all: access, definition, operator, storage, rights
```

Without our command line: `kubectl get mrj -o wide` has the reason in one line, `kubectl describe mrj/JOB` all
conditions and events. Search this page for the `reason`. Reasons are never renamed.
"""

_SAID: Final = """
## What `mr why` says of a job that runs

No failures, and no reasons of conditions; the same sentence is at the head of the page about a job.

| it says | it means | what helps |
|---|---|---|
"""

DIAGNOSES: Final = (
    ("Waits in the queue", "a coordinator by hand runs one job at a time", "wait, or start another coordinator"),
    ("Waits for workers", "tasks are left and no worker is registered", "`mr worker`; in a cluster the reasons above"),
    ("Waits for disk space", "the volume of the log is nearly full", "make room; it goes on by itself"),
    (
        "times the median",
        "a straggler: a larger split, or a slow worker",
        "smaller splits; end that worker: the task moves",
    ),
    ("of the bytes", "skew: some keys have most of the values", "a combiner; keys of more parts"),
    ("failed so far", "code or input fails, not yet too often", "`mr logs`, `mr replay`"),
    (
        "again whose output was lost",
        "runs went with a worker's disk",
        "nothing; `Peer` copies them behind their commit",
    ),
)
"""Words in the sentences of `mapreduce.diagnosis`, what they mean, and what helps."""

_HERE: Final = (
    ("`mr: command not found`", "`. .venv/bin/activate` in the checkout"),
    ("the output folder holds a finished result", "another folder, or `--overwrite`"),
    (
        "it holds an unfinished job of other code or input",
        "the command that began it goes on; `--restart` drops its work",
    ),
    ("another coordinator serves the folder", "end it first; `mr doctor` shows yours"),
    ("a module is not found", "workers see no `PYTHONPATH`: [`--py-files`](how-to/code-and-dependencies.md)"),
    (
        "nothing works on a network file system",
        "an output folder (`-o`) on a local disk; by hand `mr coordinator --dir` on one",
    ),
)


@dataclass(frozen=True, slots=True)
class Section:
    """Reasons that a person meets in the same situation."""

    title: str
    seen: str
    names: tuple[str, ...]


SECTIONS: Final = (
    Section(
        "The job failed at once",
        "State `Failed` within seconds, no worker ever ran. Nothing was written to the output.",
        ("InvalidSpec", "InvalidCode", "InvalidInput", "InvalidPodTemplate", "OutputExists", "CodeTooLong"),
    ),
    Section(
        "The job does not start",
        "State `Pending` or `Starting` for more than a minute; conditions `Validated`, `CoordinatorReady` or "
        "`WorkersReady` have the reason.",
        (
            *("ClaimMissing", "ConfigMapMissing", "SecretMissing", "ImagePullFailed", "Unschedulable", "ClaimPending"),
            *("QuotaExceeded", "PodRefused", "ContainerCannotStart", "VolumeNotMounted", "CrashLoop", "PrepareFailed"),
            *("WorkersScaledDown", "PendingDeadlineExceeded", "NameTaken", "Forbidden", "WALForeign"),
        ),
    ),
    Section(
        "Tasks failed",
        "State `Failed` after work was done, or failed attempts in a job that goes on. The message has task, record, "
        "traceback.",
        (
            *(
                "TaskFailed",
                "TaskCrashed",
                "TaskTimedOut",
                "OutOfMemory",
                "BadInput",
                "UnstorableRecord",
                "WorkersLost",
            ),
            *(
                "WorkersFailed",
                "NonDeterministicMap",
                "OutputKeepsGettingLost",
                "PlanLost",
                "DeadlineExceeded",
                "Cancelled",
            ),
        ),
    ),
    Section(
        "The job stands still, or something is degraded",
        "Conditions `Stalled` (somebody has to act) or `Degraded` (it goes on).",
        (
            *("DiskFull", "LowSpace", "SlowDisk", "VolumeNodeLost", "NodeLost", "SingleNodeStorage"),
            *("MapsRemade", "WALCorrupt", "WALRepaired", "WALNote"),
            *("CoordinatorUnreachable", "CoordinatorRestarting", "CoordinatorFailed"),
        ),
    ),
    Section(
        "An edit has no effect",
        "Condition `SpecDrift` is True.",
        ("SpecChanged", "CodeChanged"),
    ),
    Section(
        "Suspension",
        "State `Suspending` or `Suspended`.",
        ("SuspendedByUser", "Draining", "ReplicasPending"),
    ),
    Section(
        "Operator and API server",
        "Several jobs at once behave oddly, or a deletion takes long.",
        ("ApiError", "OperatorError", "CleanUpFailed"),
    ),
)

WITHOUT_TROUBLE: Final = frozenset(
    {
        *("Pending", "Checking", "Accepted", "Starting", "Running", "Ready", "Answering", "AllCommitted", "Published"),
        *(
            "Resumed",
            "NotSuspended",
            "AsExpected",
            "InSync",
            "NotFinished",
            "Succeeded",
            "JobFailed",
            "JobEnded",
            "MapOnly",
        ),
    }
)
"""Reasons about which nobody needs to do anything; the reference page lists them."""


def render() -> str:
    """The whole page."""
    said = "\n".join(f"| ... {words} ... | {meaning} | {help_} |" for words, meaning, help_ in DIAGNOSES)
    here = "\n".join(f"| {seen} | {help_} |" for seen, help_ in _HERE)
    one_machine = "\n\n## On one machine\n\n| what you see | what to do |\n|---|---|\n"
    return "\n".join((_HEAD, *map(_section, SECTIONS))) + _SAID + said + one_machine + here + "\n"


def unsorted() -> set[str]:
    """Reasons that are in no section, and are not known to be harmless."""
    return set(REASONS) - WITHOUT_TROUBLE - {name for one in SECTIONS for name in one.names}


def _section(section: Section) -> str:
    rows = [_row(REASONS[name]) for name in section.names]
    head = ("| reason | what is the case | what to do |", "|---|---|---|")
    return "\n".join((f"## {section.title}\n", f"{section.seen}\n", *head, *rows)) + "\n"


def _row(reason: Reason) -> str:
    return f"| `{reason.name}` | {cell(reason.sentence)} | {cell(reason.fix) or 'Nothing.'} |"


def main() -> None:
    """Write the page, or compare it."""
    page = render()
    if missing := unsorted():
        sys.exit(f"{Path(__file__).name}: put these reasons into a section: {', '.join(sorted(missing))}")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.name} differs from the code: run tools/draw_troubleshooting.py")


if __name__ == "__main__":
    main()
