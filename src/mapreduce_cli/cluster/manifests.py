"""From a command line to the manifest that a cluster takes: code and small inputs travel inside it.

Nothing is resolved against this machine's folders but what is read here and now: a cluster does not see them. What the
code declares (reducers, format, ...) is found out there, in the job's own image, so only what was asked for is written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mapreduce import manifest as manifests
from mapreduce.errors import InvalidInput, InvalidJobSpec, InvalidUserCode, UsageError
from mapreduce.jobspec import Overrides
from mapreduce.model import ClaimTemplate, Code, Input, JobSpec, Manifest, Output, Volume

if TYPE_CHECKING:
    from mapreduce_cli.cluster.joboptions import ClusterJobOptions
    from mapreduce_cli.options import JobOptions

#: Inputs of this machine that travel inside the manifest, all together.
MOST_INLINE_CHARS: Final = 65_536
#: Where a cluster finds an input, for messages.
_PLACES: Final = "pvc://CLAIM/PATH, configmap://NAME/PATH or http(s)://"


def build(job: JobOptions, there: ClusterJobOptions, *, namespace: str = "") -> Manifest:
    """The manifest that a command line asks for. Raises UsageError of one kind or another; says notes on stderr."""
    if job.py_files:
        raise UsageError(
            "--py-files does not reach a cluster: build an image with the modules and name it by --image (see "
            "docs/how-to/code-and-dependencies.md)"
        )
    overrides = job.overrides(replicas=there.workers)
    if not job.file.is_file():
        raise UsageError(f"{job.file}: there is no such file; name the job's Python file or manifest first")
    if job.is_manifest:
        written = manifests.from_file(job.file)
        spec = written.spec
        spec = _with_code_of_manifest(spec, job.file.absolute().parent)
        name, metadata = job.name or written.metadata.name, written.metadata
    else:
        spec = JobSpec(code=Code(inline=""), inputs=(Input(uri="-"),), output=Output(uri="-"))
        spec = manifests.with_inline_code(spec, job.file)
        name, metadata = job.name or _declared_name(job, overrides), None
        if not overrides.inputs:
            raise UsageError("no input is given; name what the cluster sees after FILE: " + _PLACES)
        if overrides.output is None:
            raise UsageError("no output is given; add -o pvc://CLAIM/PATH")
    spec = with_overrides(spec, overrides)
    spec = _with_claims(_changed(spec, image=there.image, ttl_seconds_after_finished=there.ttl_s), there)
    spec = msgspec.structs.replace(
        spec, inputs=_inputs(spec, Path.cwd() if overrides.inputs else job.file.absolute().parent)
    )
    _check_output(spec.output.uri)
    made = manifests.make(name, spec, namespace=namespace or (metadata.namespace if metadata else ""))
    if metadata is not None:
        kept = msgspec.structs.replace(made.metadata, labels=metadata.labels, annotations=metadata.annotations)
        if job.name is None:
            kept = msgspec.structs.replace(kept, name=metadata.name)
        made = msgspec.structs.replace(made, metadata=kept)
    return _checked(made)


def with_overrides(spec: JobSpec, asked: Overrides) -> JobSpec:
    """The specification with what the command line asks for in its place; all else stays as it is written."""
    output = _changed(
        spec.output,
        uri=asked.output,
        format=asked.output_format,
        name_template=asked.name_template,
        overwrite="Replace" if asked.overwrite else None,
    )
    inputs = spec.inputs
    if asked.inputs:
        like = inputs[0] if len({(source.format, source.encoding) for source in inputs}) == 1 else Input(uri="-")
        inputs = tuple(Input(uri=uri, format=like.format, encoding=like.encoding) for uri in asked.inputs)
    inputs = tuple(_changed(source, format=asked.format, encoding=asked.encoding) for source in inputs)
    workers = _changed(
        spec.workers,
        replicas=asked.replicas,
        slots=asked.slots,
        memory_budget_bytes=asked.memory_budget_bytes,
        memory_limit_bytes=asked.memory_limit_bytes,
    )
    storage = _changed(spec.storage, shuffle=asked.shuffle, retain_runs=asked.retain_runs)
    fields = (
        "mapper",
        "reducer",
        "combiner",
        "reducers",
        "split_size_bytes",
        "max_attempts",
        "max_lost_attempts",
        "speculation",
        "lease_seconds",
        "task_timeout_seconds",
    )
    spec = msgspec.structs.replace(
        spec, output=output, inputs=inputs, workers=workers, storage=storage, args={**spec.args, **asked.args}
    )
    changed: JobSpec = _changed(spec, **{field: getattr(asked, field) for field in fields})
    return changed


def _with_claims(spec: JobSpec, there: ClusterJobOptions) -> JobSpec:
    """With templates for the claims whose sizes were asked for. Raises UsageError."""
    if there.storage_class is not None and there.output_size is None and there.runs_size is None:
        raise UsageError("--storage-class is for claims that are made: give --output-size or --runs-size too")
    if there.output_size is not None:
        template = _changed(
            spec.output.claim_template or ClaimTemplate(),
            size=there.output_size,
            storage_class_name=there.storage_class,
        )
        spec = msgspec.structs.replace(spec, output=msgspec.structs.replace(spec.output, claim_template=template))
    if there.runs_size is not None:
        if spec.storage.shuffle == "Peer":
            raise UsageError("--runs-size is for shuffle Shared: with Peer, runs lie on the workers' own disks")
        template = _changed(
            spec.storage.runs.claim_template or ClaimTemplate(),
            size=there.runs_size,
            storage_class_name=there.storage_class,
        )
        storage = msgspec.structs.replace(spec.storage, runs=Volume(claim_template=template))
        spec = msgspec.structs.replace(spec, storage=storage)
    return spec


def _with_code_of_manifest(spec: JobSpec, folder: Path) -> JobSpec:
    """A file of this machine that the manifest names as code travels inside it."""
    path = spec.code.volume_path
    if path is None or path.startswith("pvc://"):
        return spec
    return manifests.with_inline_code(spec, folder / path)


def _declared_name(job: JobOptions, overrides: Overrides) -> str:
    """The name that the code declares, found by importing it in a child. Notes what only its image can import."""
    from mapreduce.describe import start_describing
    from mapreduce.userjob import Names

    description = start_describing(
        job.file, names=Names(overrides.mapper, overrides.reducer, overrides.combiner)
    ).read()
    problem = description.problem
    if problem is None:
        return description.name
    if not re.search(r"^(ModuleNotFoundError|ImportError)\b", problem.traceback, re.MULTILINE):
        message = problem.message if str(job.file) in problem.message else f"{job.file}: {problem.message}"
        raise InvalidUserCode(message + (f"\n{problem.traceback.rstrip()}" if problem.traceback else ""))
    missing = problem.traceback.strip().rpartition("\n")[2]
    print(
        f"mr: {job.file} cannot be imported here ({missing}); whether the job's image can, the cluster will say",
        file=sys.stderr,
    )
    return job.file.stem


def _inputs(spec: JobSpec, base: Path) -> tuple[Input, ...]:
    """The inputs, those of them that are small files of this machine as text. Raises InvalidInput for all others."""
    left, found = MOST_INLINE_CHARS, []
    for source in spec.inputs:
        if "://" in source.uri or source.inline is not None:
            found.append(source)
            continue
        path = base / source.uri
        if not path.exists() and not any(base.glob(source.uri) if not Path(source.uri).is_absolute() else ()):
            raise InvalidInput(source.uri, "does not exist here, and a cluster sees other places.", f"Name {_PLACES}.")
        if not path.is_file() or path.stat().st_size > left:
            raise InvalidInput(
                source.uri,
                "is on this machine, which a cluster does not see; with the job travel only single files, of at "
                "most 64 KiB all together.",
                f"Put it where the cluster sees it and name {_PLACES}.",
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(source.uri, f"cannot travel with the job as text: {error}.") from None
        left -= len(text)
        found.append(msgspec.structs.replace(source, uri="", inline=text))
    return tuple(found)


def _check_output(uri: str) -> None:
    if not uri.startswith("pvc://"):
        raise UsageError(f"output {uri}: a cluster writes to claims; name one like -o pvc://CLAIM/PATH")


def _checked(made: Manifest) -> Manifest:
    """The manifest, its size and its bounds checked. Raises InvalidJobSpec."""
    from mapreduce import specerrors

    specerrors.check_bounds(made.spec)
    if len(made.metadata.name) > 63:
        raise InvalidJobSpec("metadata.name", f"{made.metadata.name!r} has more than 63 characters.", "Shorten it.")
    return made


def _changed(struct: Any, **changes: Any) -> Any:
    given = {name: value for name, value in changes.items() if value is not None}
    return msgspec.structs.replace(struct, **given) if given else struct  # itself, or it would no longer be a default
