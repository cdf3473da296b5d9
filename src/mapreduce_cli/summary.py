"""How a job ended, for people: the summary of a finished one, the story of a failed one. Pure text.

A failure ends with what one needs to act: cause, task, record, traceback of the user's code, where the log is, and the
command to run again.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mapreduce.diagnosis.failuregroups import FailureGroup, group_failures, signature
from mapreduce.diagnosis.wording import as_options, as_uris
from mapreduce.local.paths import typed_folder
from mapreduce.protocol.messages import FailureSample, JobStatus
from mapreduce.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from mapreduce_cli.why import Answer

_SHOWN_COUNTERS: Final = 20
_SHOWN_TASKS: Final = 3
_LONGEST_COMMAND: Final = 1_500

#: What a count of warnings means, and what to do about it.
WARNING_TEXTS: Final = {
    "text_separator_in_key": "keys hold a tab or a newline, which text output cannot tell from its own; "
    "--output-format jsonl is exact",
    "text_separator_in_value": "values hold a newline, which text output cannot tell from its own; "
    "--output-format jsonl is exact",
}


def describe_done(
    status: JobStatus, *, output: str, total_s: float, phase_s: Mapping[str, float], workers: int, parts: int
) -> str:
    """The summary of a job that is complete, several lines."""
    resumed = _resumed(status)
    lines = [f"job '{status.name}' done in {format_duration(total_s)}" + (f" ({resumed})" if resumed else "")]
    tasks = f"{plural(status.maps.total, 'map')}, {plural(status.reduces.total, 'reduce')}"
    lines.append(f"  input    {format_size(status.input_bytes)} in {tasks}, {plural(workers, 'worker')}")
    lines.append(
        f"  output   {format_count(status.output_records)} records, {format_size(status.output_bytes)}, "
        f"{plural(parts, 'part')} in {output}"
    )
    shown = {name: spent_s for name, spent_s in phase_s.items() if name != "end" and spent_s >= 0.005}
    if shown:
        lines.append("  time     " + ", ".join(f"{name} {spent_s:.2f} s" for name, spent_s in shown.items()))
    if status.maps_remade:
        lines.append(f"  remade   {plural(status.maps_remade, 'map')} whose output was lost or went with its worker")
    backups = status.maps.backups + status.reduces.backups
    if backups:
        lines.append(f"  backups  {plural(backups, 'attempt')} beside tasks that took far longer than the others")
    failed = status.maps.attempts_failed + status.reduces.attempts_failed
    if failed:
        lines.append(f"  retried  {plural(failed, 'failed attempt')}; `mr logs {typed_folder(output)}` shows them")
    lines += _counted("counters", status.counters, {})
    lines += _counted("warnings", status.warnings, WARNING_TEXTS)
    return "\n".join(lines)


def describe_failure(status: JobStatus, *, logs: str, retry: str, is_in_cluster: bool = False) -> str:
    """The story of a job that failed, several lines. `logs` is the command that shows its logs.

    Outside clusters settings are named by their options: those are what was typed.
    """
    words = as_uris if is_in_cluster else as_options
    how = "was cancelled" if status.state == "Cancelled" else "failed"
    lines = [f"job '{status.name}' {how}" + (f": {status.reason}" if status.reason else "")]
    sample = _decisive(status.failures)
    message = words(status.message.strip())
    if sample is None:
        if message:
            lines.append(_field("cause", message))
    else:
        if message and words(sample.failure.message.strip()) not in message:
            lines.append(_field("why", message.split("\n", 1)[0]))
        lines += _describe_sample(sample, logs=logs, words=words)
        lines += _describe_others(group_failures(status.failures), sample)
    if retry and status.state != "Cancelled":
        lines.append(_field("retry", retry))
    return "\n".join(lines)


def describe_answer(answer: Answer, *, most_groups: int) -> str:
    """What `mr why` prints: the sentence, what to do, and the failures by cause."""
    sentence = answer.sentence.rstrip()
    if "\n" not in sentence and not sentence.endswith((".", "!", "?")):
        sentence += "."
    lines = [f"{answer.job}: {sentence}"]
    if answer.fix:
        lines.append(_field("fix", answer.fix))
    lines += [_field("note", note) for note in answer.notes]
    for group in answer.failures[:most_groups]:
        lines.append(_field("failed", f"{plural(group.count, 'attempt')} of {_some(group.tasks)}"))
        lines += _describe_sample(group.newest, logs=answer.logs, words=as_uris if answer.is_in_cluster else as_options)
    if len(answer.failures) > most_groups:
        lines.append(f"  and {plural(len(answer.failures) - most_groups, 'other cause')}")
    if answer.retry:
        lines.append(_field("retry", answer.retry))
    return "\n".join(lines)


def _describe_sample(sample: FailureSample, *, logs: str, words: Callable[[str], str]) -> list[str]:
    failure = sample.failure
    lines = [
        _field("cause", words(failure.message.strip())),
        _field("task", f"{sample.id.task}, attempt {sample.id.attempt}" + _on(sample.worker)),
    ]
    if failure.record:
        lines.append(_field("record", as_uris(failure.record)))
    if failure.traceback.strip():
        lines.append("  traceback, from your code:")
        lines += [f"    {line}" for line in failure.traceback.strip("\n").split("\n")]
    if logs:
        lines.append(_field("log", f"{logs} --task {sample.id.task}"))
    return lines


def _describe_others(groups: Sequence[FailureGroup], shown: FailureSample) -> list[str]:
    """One line for each other cause that attempts failed of."""
    others = [group for group in groups if signature(group.newest) != signature(shown)]
    return [
        _field("also", f"{plural(group.count, 'attempt')} of {_some(group.tasks)}: {group.title}") for group in others
    ]


def _some(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
    return ", ".join(tasks[:_SHOWN_TASKS]) + more


def this_command() -> str:
    """The command line of this process, to be run again; shortened when the shell has expanded it to very much."""
    command = shlex.join(["mr", *sys.argv[1:]])
    return command if len(command) <= _LONGEST_COMMAND else "the same command again"


def _decisive(failures: Sequence[FailureSample]) -> FailureSample | None:
    """The failure to show: the latest that has a traceback or a record, else the latest."""
    told = [sample for sample in failures if sample.failure.failure_class not in {"lost", "disruption", "run-lost"}]
    shown = told or list(failures)
    return shown[-1] if shown else None


def _resumed(status: JobStatus) -> str:
    if not status.resumed_maps and not status.resumed_reduces:
        return ""
    reduces = f" and {status.resumed_reduces} reduces" if status.resumed_reduces else ""
    return f"resumed: {status.resumed_maps} maps{reduces} had been committed before"


def _counted(title: str, counts: Mapping[str, int], texts: Mapping[str, str]) -> list[str]:
    if not counts:
        return []
    names = sorted(counts)[:_SHOWN_COUNTERS]
    width = max(len(name) for name in names)
    lines = [f"  {title}"]
    for name in names:
        text = f"  {texts[name]}" if name in texts else ""
        lines.append(f"    {name.ljust(width)}  {format_count(counts[name])}{text}")
    if len(counts) > len(names):
        lines.append(f"    and {len(counts) - len(names)} more; _SUCCESS has all of them")
    return lines


def _field(title: str, text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([f"  {title:<8} {first}", *(f"           {line}" for line in rest)])


def _on(worker: str) -> str:
    return f", worker {worker}" if worker else ""


def plural(count: int, noun: str) -> str:
    """`1 map`, `2 maps`."""
    return f"{format_count(count)} {noun}{'' if count == 1 else 's'}"
