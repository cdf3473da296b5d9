"""From what a job's code declares, a manifest and the command line to one checked `JobSpec`. Pure.

Precedence: command line, then manifest, then what the code declares (decorators or module), then defaults. Reading code
is `userjob`, reading YAML is `manifest`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mapreduce.errors import InvalidJobSpec
from mapreduce.model import (
    Code,
    Encoding,
    Input,
    InputFormat,
    JobSpec,
    Output,
    OutputFormat,
    Shuffle,
    Speculation,
    Storage,
    Volume,
    Workers,
)

#: Reducers that need no code. A function of the same name in the job's own file goes before them.
NAMED_REDUCERS: Final = ("sum", "count", "mean", "min", "max", "list", "identity")
#: Of the formats of Python only a width: it makes names that are told apart, and no text reaches into an object.
_NAME_TEMPLATE: Final = re.compile(r"([^{}]*\{partition(:0?[0-9]?d?)?\})+[^{}]*")


class CodeProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a job's code cannot be used, as data for whoever shows it."""

    message: str
    traceback: str = ""
    """From the first frame of the user's file; empty when the import itself went well."""


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `job(name, **options)` may declare; None is undeclared."""

    args: dict[str, str] = {}
    encoding: Encoding | None = None
    format: InputFormat | None = None
    max_attempts: int | None = None
    output_format: OutputFormat | None = None
    reducers: int | None = None
    split_size_bytes: int | None = None
    task_timeout_seconds: int | None = None


class Description(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job's code declares, found out without running it."""

    name: str
    mapper: str = "mapper"
    reducer: str | None = None
    """A function of the code or a named reducer; None: there is none."""
    combiner: str | None = None
    options: Options = Options()
    problem: CodeProblem | None = None


class Overrides(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the command line (or `Job.run`) asks for; None and empty are not asked for."""

    inputs: tuple[str, ...] = ()
    output: str | None = None
    format: InputFormat | None = None
    encoding: Encoding | None = None
    output_format: OutputFormat | None = None
    name_template: str | None = None
    overwrite: bool = False
    mapper: str | None = None
    reducer: str | None = None
    combiner: str | None = None
    reducers: int | None = None
    args: dict[str, str] = {}
    split_size_bytes: int | None = None
    replicas: int | None = None
    slots: int | None = None
    memory_budget_bytes: int | None = None
    memory_limit_bytes: int | None = None
    shuffle: Shuffle | None = None
    retain_runs: Literal["Never", "OnFailure", "Always"] | None = None
    max_attempts: int | None = None
    max_lost_attempts: int | None = None
    speculation: Speculation | None = None
    lease_seconds: int | None = None
    task_timeout_seconds: int | None = None


def build_spec(
    description: Description,
    overrides: Overrides,
    *,
    source: Path | None = None,
    manifest: JobSpec | None = None,
    base: Path | None = None,
) -> JobSpec:
    """Merge all that is known of a job into its specification.

    `source` is the job's file (without it the manifest's code is kept); `base` the folder against which relative local
    paths of inputs and output are resolved (None leaves them). Raises `InvalidJobSpec` naming the field.
    """
    declared = description.options
    code = Code(volume_path=str(source)) if source is not None else manifest.code if manifest is not None else None
    if code is None:
        raise InvalidJobSpec("code", "is not given.", "Name the job's Python file.")
    reducer, combiner, reducers = _functions_after_the_mapper(description, overrides, manifest)
    inputs = _inputs(declared, overrides, manifest, base)
    output = _output(declared, overrides, manifest, base)
    spec = msgspec.structs.replace(
        manifest or JobSpec(code=code, inputs=inputs, output=output),
        code=code,
        inputs=inputs,
        output=output,
        mapper=overrides.mapper or _given(manifest, "mapper", "mapper") or description.mapper,
        reducer=reducer,
        combiner=combiner,
        reducers=reducers,
        args={**declared.args, **(manifest.args if manifest else {}), **overrides.args},
        workers=_replaced(
            manifest.workers if manifest else Workers(),
            replicas=overrides.replicas,
            slots=overrides.slots,
            memory_budget_bytes=overrides.memory_budget_bytes,
            memory_limit_bytes=overrides.memory_limit_bytes,
        ),
        storage=_replaced(
            manifest.storage if manifest else Storage(), shuffle=overrides.shuffle, retain_runs=overrides.retain_runs
        ),
        split_size_bytes=_first(
            overrides.split_size_bytes, manifest.split_size_bytes if manifest else None, declared.split_size_bytes
        ),
        **{
            field: _first(
                getattr(overrides, field), _given(manifest, field, default), getattr(declared, field, None), default
            )
            for field, default in (
                ("max_attempts", 4),
                ("max_lost_attempts", 8),
                ("speculation", "Never"),
                ("lease_seconds", 30),
                ("task_timeout_seconds", 3_600),
            )
        },
    )
    return check_spec(spec)


def check_spec(spec: JobSpec) -> JobSpec:
    """Check what types alone cannot say, and all bounds of a spec that was built in Python. Raises `InvalidJobSpec`."""
    from mapreduce import specerrors

    specerrors.check_bounds(spec)
    _check_exactly_one("spec.code", spec.code, "inline", "config_map_ref", "module", "volume_path")
    for index, source in enumerate(spec.inputs):
        _check_input(f"spec.inputs[{index}]", source)
    _check_name_template(spec.output.name_template)
    for field, volume in (("log", spec.storage.log), ("runs", spec.storage.runs)):
        if volume.claim_name is not None and volume.claim_template is not None:
            raise InvalidJobSpec(
                f"spec.storage.{field}", "has claimName and claimTemplate, but must have at most one.", "Leave one out."
            )
    if spec.storage.shuffle == "Peer" and spec.storage.runs != Volume():
        raise InvalidJobSpec(
            "spec.storage.runs",
            "is for shuffle Shared: with Peer, runs lie on the workers' own disks and their copies beside the log.",
            "Leave it out, or set storage.shuffle to Shared.",
        )
    return spec


def _check_exactly_one(place: str, struct: msgspec.Struct, *fields: str) -> None:
    """Refuse a struct of which none or several of the fields are given."""
    given = [_camel(field) for field in fields if getattr(struct, field)]
    if len(given) != 1:
        problem = "has none of" if not given else f"has {' and '.join(given)}, but must have exactly one of"
        raise InvalidJobSpec(place, f"{problem} {', '.join(map(_camel, fields))}.", "Give exactly one.")


def _check_input(place: str, source: Input) -> None:
    """Refuse an input whose fields contradict one another."""
    if not source.uri and source.inline is None:
        raise InvalidJobSpec(f"{place}.uri", "must not be empty.", "Name a file, or give its text as inline.")
    if source.uri and source.inline is not None:
        raise InvalidJobSpec(place, "has uri and inline, but must have exactly one of them.", "Leave one out.")
    if source.encoding == "bytes" and source.format in {"jsonl", "csv"}:
        raise InvalidJobSpec(
            f"{place}.encoding", f"bytes does not go with the format {source.format}.", "Use lines or files."
        )
    if source.secret_ref is not None and not source.uri.startswith(("http://", "https://")):
        raise InvalidJobSpec(
            f"{place}.secretRef", "goes with an http:// or https:// uri only.", "Leave it out, or give such a uri."
        )


def _check_name_template(template: str) -> None:
    field = "spec.output.nameTemplate"
    if "{" not in template and "}" not in template:
        raise InvalidJobSpec(
            field,
            f"{template!r} gives different parts the same name.",
            "Put {partition} in it, like part-{partition:05d}.",
        )
    if _NAME_TEMPLATE.fullmatch(template) is None:
        raise InvalidJobSpec(
            field, f"{template!r} is not a name with {{partition}} in it.", "Write like part-{partition:05d}."
        )
    if "/" in template or "\0" in template or template.startswith((".", "_")) or len(template.encode()) > 200:
        raise InvalidJobSpec(
            field,
            f"{template!r} gives names that parts cannot have.",
            "Leave out slashes, a leading dot or underscore; at most 200 bytes.",
        )


def _functions_after_the_mapper(
    description: Description, overrides: Overrides, manifest: JobSpec | None
) -> tuple[str | None, str | None, int | None]:
    """Reducer, combiner, number of reduce tasks. Without a reducer a job is map-only, unless it asks for such tasks."""
    reducers = _first(overrides.reducers, manifest.reducers if manifest else None, description.options.reducers)
    reducer = _first(overrides.reducer, manifest.reducer if manifest else None, description.reducer)
    combiner = _first(overrides.combiner, manifest.combiner if manifest else None)
    if combiner is None and reducer == description.reducer:
        combiner = description.combiner  # it was declared for that reducer, and for no other
    if reducer is None:
        reducers = 0 if reducers is None else reducers
        reducer = "identity" if reducers else None
    return reducer, combiner, reducers


def _inputs(declared: Options, overrides: Overrides, manifest: JobSpec | None, base: Path | None) -> tuple[Input, ...]:
    of_manifest = manifest.inputs if manifest else ()
    if overrides.inputs:
        formats = {source.format for source in of_manifest}
        encodings = {source.encoding for source in of_manifest}
        kind = formats.pop() if len(formats) == 1 else "lines"
        encoding = encodings.pop() if len(encodings) == 1 else "utf-8"
        sources = tuple(Input(uri=uri, format=kind, encoding=encoding) for uri in overrides.inputs)
    else:
        sources = of_manifest
    if not sources:
        raise InvalidJobSpec("inputs", "are not given.", "Name at least one file, folder or glob.")
    return tuple(
        _replaced(
            source,
            uri=_resolved(source.uri, base) if source.uri else None,
            format=overrides.format
            or (source.format if source.format != "lines" else None)
            or declared.format
            or "lines",
            encoding=overrides.encoding
            or (source.encoding if source.encoding != "utf-8" else None)
            or declared.encoding
            or "utf-8",
        )
        for source in sources
    )


def _output(declared: Options, overrides: Overrides, manifest: JobSpec | None, base: Path | None) -> Output:
    output = manifest.output if manifest else None
    uri = overrides.output or (output.uri if output else None)
    if uri is None:
        raise InvalidJobSpec("output", "is not given.", "Name the folder for the result.")
    written = output or Output(uri=uri)
    changed: Output = _replaced(
        written,
        uri=_resolved(uri, base),
        format=overrides.output_format
        or (written.format if written.format != "text" else None)
        or declared.output_format
        or "text",
        name_template=overrides.name_template or written.name_template,
        overwrite="Replace" if overrides.overwrite else written.overwrite,
    )
    return changed


def _resolved(uri: str, base: Path | None) -> str:
    return uri if base is None or "://" in uri else str(base / uri)


def _replaced(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **{name: value for name, value in changes.items() if value is not None})


def _given(manifest: JobSpec | None, field: str, default: Any) -> Any:
    """A manifest's field, or None where it has the default: a written default cannot be told from one left out."""
    value = getattr(manifest, field) if manifest is not None else default
    return None if value == default else value


def _first(*choices: Any) -> Any:
    return next((choice for choice in choices if choice is not None), None)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
