"""Options that several commands share: click types for sizes, durations and arguments, and the options that make a job.

What the values mean together (precedence, defaults, bounds) is `mapreduce.jobspec`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from mapreduce.units import parse_duration_s, parse_size

if typing.TYPE_CHECKING:
    from mapreduce.jobspec import Overrides
    from mapreduce.local.preparing import Preparation

MOST_INPUTS: Final = 10_000

_Command = TypeVar("_Command", bound=Callable[..., Any])


def size(text: str) -> int:
    """Bytes of an option's value such as `16MiB`; as click's `type`."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def claim(text: str) -> tuple[str, Path]:
    """Name of a cluster's claim and the folder that stands for it, of an option's value `NAME=FOLDER`."""
    name, folder = pair(text)
    path = Path(folder).absolute()
    if path.exists() and not path.is_dir():  # one that is not there yet may be the output's
        raise click.BadParameter(f"{folder!r} is no folder")
    return name, path


def duration(text: str) -> int:
    """Whole seconds, at least one, of an option's value such as `1h30m`; as click's `type`."""
    try:
        duration_s = parse_duration_s(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if duration_s < 1 or duration_s != int(duration_s):
        raise click.BadParameter(f"{text!r} is not a whole number of seconds, at least 1")
    return int(duration_s)


def pair(text: str) -> tuple[str, str]:
    """Name and value of an option's value `name=value`; the value may be empty and may hold further equals signs."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not of the form name=value")
    return name, value


_JOB_OPTIONS: Final = (
    click.argument("file", metavar="FILE", type=click.Path(path_type=Path)),
    click.argument("inputs", metavar="INPUT...", nargs=-1),
    click.option("-o", "--output", metavar="FOLDER", help="Folder for the result; made if it does not exist."),
    click.option("--name", help="Name of the job; default: the one its code declares, or the file's name."),
    click.option(
        "--arg",
        "args",
        type=pair,
        metavar="NAME=VALUE",
        multiple=True,
        help="An argument for the functions, as ctx.args[name].",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(["lines", "files", "jsonl", "csv"]),
        help="How the bytes of the input become records.  [lines]",
    ),
    click.option("--encoding", type=click.Choice(["utf-8", "bytes"]), help="Records as str or as bytes.  [utf-8]"),
    click.option(
        "--output-format", type=click.Choice(["text", "jsonl"]), help="text: key<TAB>value; jsonl: exact.  [text]"
    ),
    click.option("--name-template", metavar="NAME", help="Names of the parts.  [part-{partition:05d}]"),
    click.option(
        "--reducers",
        type=click.IntRange(0, 100_000),
        metavar="R",
        help="Reduce tasks, hence parts; 0: map only.  [one per 128 MiB]",
    ),
    click.option("--mapper", metavar="FUNCTION", help="Name of the mapper in the code.  [mapper]"),
    click.option(
        "--reducer",
        metavar="FUNCTION",
        help="Name of the reducer, or sum, count, mean, min, max, list, identity.  [reducer]",
    ),
    click.option("--combiner", metavar="FUNCTION", help="Name of the combiner in the code."),
    click.option(
        "--py-files",
        metavar="PATH[,PATH...]",
        multiple=True,
        help="Modules and packages that the code imports, to be sent along.",
    ),
    click.option(
        "--split-size",
        "split_size_bytes",
        type=size,
        metavar="SIZE",
        help="Largest piece of input for one map task.  [input/16, 1 to 64 MiB]",
    ),
    click.option(
        "--memory-budget",
        "memory_budget_bytes",
        type=size,
        metavar="SIZE",
        help="Memory for grouping in one slot; beyond it a task spills.  [256MiB]",
    ),
    click.option(
        "--max-attempts",
        type=click.IntRange(1, 100),
        metavar="N",
        help="Attempts of a task that fails by its own fault.  [4]",
    ),
    click.option(
        "--lease",
        "lease_seconds",
        type=duration,
        metavar="TIME",
        help="Silence after which a worker counts as lost.  [30s]",
    ),
    click.option(
        "--task-timeout",
        "task_timeout_seconds",
        type=duration,
        metavar="TIME",
        help="Run time after which an attempt counts as hanging.  [1h]",
    ),
    click.option(
        "--speculation",
        type=click.Choice(["Never", "Stragglers"]),
        help="Whether idle slots run a second attempt of tasks that take far longer than the others.  [Never]",
    ),
    click.option(
        "--shuffle",
        type=click.Choice(["Shared", "Peer"]),
        help="Runs lie in a shared folder, or each worker serves its own.  [Shared]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace a finished result of ours in the output folder."),
)


@dataclasses.dataclass(frozen=True, slots=True)
class JobOptions:
    """The job that a command line asks for, before its code and manifest are read."""

    file: Path
    inputs: tuple[str, ...]
    name: str | None
    py_files: tuple[Path, ...]
    given: Mapping[str, Any]
    """Fields of `jobspec.Overrides` that were given."""

    @property
    def is_manifest(self) -> bool:
        """FILE is a manifest, not code."""
        return self.file.suffix.lower() in {".yaml", ".yml"}

    def overrides(self, **more: Any) -> Overrides:
        """What the command line asks for, in the words of `jobspec`."""
        from mapreduce.jobspec import Overrides

        return Overrides(inputs=self.inputs, **self.given, **more)


def job_options(command: _Command) -> _Command:
    """Give a command all options that make a job; the command receives them as one `JobOptions` named `job`."""
    return _collecting(command, _JOB_OPTIONS)


def check_options(command: _Command) -> _Command:
    """Those of `job_options` that mean something where a job is only tried on a sample."""
    file, _, *options = _JOB_OPTIONS
    kept = [option for option in options if _name_of(option) not in _NOT_FOR_CHECKING]
    return _collecting(command, (file, click.argument("inputs", metavar="[SAMPLE...]", nargs=-1), *kept))


def plan_options(command: _Command) -> _Command:
    """Those of `job_options` that decide how large a run is, where even the job need not be named."""
    _, _, *options = _JOB_OPTIONS
    file = click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), required=False)
    inputs = click.argument("inputs", metavar="[INPUT...]", nargs=-1)
    kept = [option for option in options if _name_of(option) not in _NOT_FOR_CHECKING - {"output"}]
    return _collecting(command, (file, inputs, *kept))


def _collecting(command: _Command, options: tuple[Any, ...]) -> _Command:
    def collect(**values: Any) -> Any:
        py_files = tuple(Path(path) for value in values.pop("py_files") for path in value.split(",") if path)
        values["format"] = values.pop("format_")
        values["args"] = dict(values.pop("args"))
        given = {name: values.pop(name, None) for name in _OVERRIDES}
        job = JobOptions(
            file=values.pop("file"),
            inputs=tuple(values.pop("inputs")),
            name=values.pop("name", None),
            py_files=py_files,
            given={name: value for name, value in given.items() if value is not None},
        )
        return command(job=job, **values)

    collect.__name__ = command.__name__
    collect.__doc__ = command.__doc__
    decorated: Any = collect
    for option in reversed(options):
        decorated = option(decorated)
    # Options that the command itself added below this decorator keep their place behind the shared ones.
    own = getattr(command, "__click_params__", [])
    decorated.__click_params__ = [*own, *decorated.__click_params__]
    return typing.cast("_Command", decorated)


def _name_of(option: Any) -> str:
    """The name of the parameter that one of the decorators makes."""

    def bare() -> None:
        """Takes the parameter."""

    parameter: click.Parameter = option(bare).__click_params__[0]
    return parameter.name or ""


def begin(
    job: JobOptions,
    *,
    replicas: int | None = None,
    is_check: bool = False,
    claims: Mapping[str, Path] | None = None,
) -> Preparation:
    """Begin to prepare the job of a command line: its code is being described when this returns. Raises UsageError.

    A check needs neither inputs nor an output. `claims` are folders that stand for a cluster's claims, by their names.
    """
    from mapreduce.local.preflight import refuse_missing
    from mapreduce.local.preparing import prepare_file, prepare_manifest

    if len(job.inputs) > MOST_INPUTS:
        raise click.UsageError(f"{len(job.inputs)} inputs are given; quote the glob, or name the folder")
    if is_check:
        job = dataclasses.replace(
            job, inputs=job.inputs or ("sample",), given={**job.given, "output": job.given.get("output", "checked")}
        )
    if not job.inputs and not job.is_manifest:
        raise click.UsageError("no input is given; name files, folders or globs after FILE")
    if not job.file.exists():
        raise click.UsageError(f"{job.file}: there is no such file; name the job's Python file or manifest first")
    if not is_check:
        refuse_missing(job.inputs, Path.cwd())
    prepare = prepare_manifest if job.is_manifest else prepare_file
    return prepare(job.file, job.overrides(replicas=replicas), name=job.name, py_files=job.py_files, claims=claims)


_NOT_FOR_CHECKING: Final = frozenset(
    {
        "output",
        "name",
        "name_template",
        "max_attempts",
        "lease_seconds",
        "task_timeout_seconds",
        "speculation",
        "shuffle",
        "overwrite",
    }
)

_OVERRIDES: Final = (
    "output",
    "args",
    "format",
    "encoding",
    "output_format",
    "name_template",
    "reducers",
    "mapper",
    "reducer",
    "combiner",
    "split_size_bytes",
    "memory_budget_bytes",
    "max_attempts",
    "lease_seconds",
    "task_timeout_seconds",
    "speculation",
    "shuffle",
    "overwrite",
)
