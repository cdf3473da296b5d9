"""From what the user named (a Python file, a manifest, a spec made in a program) to a job that can be run or submitted.

The user's code is described by a child process that is started at once and waited for late, so that other things can
start beside it; nothing here imports it. What the pieces mean together is `mapreduce.jobspec`.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mapreduce.bundle import Bundle, make_bundle
from mapreduce.describe import Describing, start_describing
from mapreduce.errors import InvalidUserCode, UsageError
from mapreduce.jobspec import Description, Overrides, build_spec
from mapreduce.model import Code, JobSpec, Workers
from mapreduce.userjob import Names
from mapreduce.volumes import code_here, local_path, on_this_machine


class PreparedJob(msgspec.Struct, frozen=True):
    """A job, complete: its specification with absolute paths, and its code."""

    name: str
    spec: JobSpec
    bundle: Bundle

    @property
    def code_files(self) -> dict[str, str]:
        """sha256 of each file of the code, by its name."""
        with zipfile.ZipFile(io.BytesIO(self.bundle.data)) as archive:
            return {
                name.removeprefix("job/"): hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()
            }


class WorkersAsked(msgspec.Struct, frozen=True):
    """Workers asked for; `replicas` 0: none in particular."""

    replicas: int
    slots: int


@dataclass(slots=True)
class Preparation:
    """A job whose code is being described. `finish` waits for it, `abandon` ends it."""

    code: Code
    base: Path
    overrides: Overrides
    name: str | None
    py_files: tuple[Path, ...]
    describing: Describing
    manifest: JobSpec | None = None
    scratch: list[Path] = field(default_factory=list)
    claims: Mapping[str, Path] = field(default_factory=dict)
    """Folders that stand here for a cluster's claims, by their names; absolute."""

    @property
    def output(self) -> Path:
        """The output folder, absolute. Raises UsageError when none is given."""
        uri = self.overrides.output or (self.manifest.output.uri if self.manifest is not None else None)
        if uri is None:
            raise UsageError("no output folder is given; add -o FOLDER")
        uri = local_path("spec.output.uri", uri, self.claims)
        if "://" in uri:
            raise UsageError(f"output {uri}: only folders of this machine can be written; name one with -o")
        return Path(os.path.abspath(self.base / uri))  # noqa: PTH100 - resolve() would follow links

    @property
    def may_overwrite(self) -> bool:
        """A finished result of ours may be replaced."""
        return self.overrides.overwrite or (self.manifest is not None and self.manifest.output.overwrite == "Replace")

    @property
    def workers(self) -> WorkersAsked:
        """How many workers the manifest and the command line ask for."""
        written = self.manifest.workers if self.manifest is not None else Workers()
        replicas = 0 if written.replicas == Workers().replicas else written.replicas
        return WorkersAsked(self.overrides.replicas or replicas, self.overrides.slots or written.slots)

    def finish(self) -> PreparedJob:
        """Wait for the description and put the job together. Raises UsageError of one kind or another."""
        try:
            description = self.describing.read()
        finally:
            self._remove_scratch()
        _refuse_unusable(self.describing.path, description)
        overrides = msgspec.structs.replace(self.overrides, output=str(self.output))
        spec = build_spec(
            description,
            overrides,
            source=self.base / self.code.volume_path if self.code.volume_path is not None else None,
            manifest=self.manifest,
            base=self.base,
        )
        spec = on_this_machine(spec, self.claims)
        bundle = make_bundle(self.code, base=self.base, py_files=self.py_files)
        return PreparedJob(self.name or description.name, spec, bundle)

    def abandon(self) -> None:
        """End the child if it still runs: nobody wants to know any more."""
        if self.describing.process.returncode is None:
            self.describing.process.kill()
            self.describing.process.communicate()
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        while self.scratch:
            self.scratch.pop().unlink(missing_ok=True)


def prepare_file(
    file: Path,
    overrides: Overrides,
    *,
    name: str | None = None,
    py_files: Iterable[Path] = (),
    claims: Mapping[str, Path] | None = None,
) -> Preparation:
    """Begin with a job's Python file; relative paths are those of the current folder."""
    if not file.exists():
        raise InvalidUserCode(f"{file}: there is no such file; name the job's Python file")
    libraries = tuple(py_files)
    describing = start_describing(file, libraries, names=_names(overrides))
    code = Code(volume_path=str(file))
    return Preparation(code, Path.cwd(), overrides, name, libraries, describing, claims=claims or {})


def prepare_manifest(
    file: Path,
    overrides: Overrides,
    *,
    name: str | None = None,
    py_files: Iterable[Path] = (),
    claims: Mapping[str, Path] | None = None,
) -> Preparation:
    """Begin with a manifest; its relative paths are its folder's, those of the command line the current one's."""
    from mapreduce.manifest import from_file

    manifest = from_file(file)
    code = code_here(manifest.spec.code, claims or {})
    libraries, scratch = tuple(py_files), []
    folder = file.absolute().parent
    names = _names(overrides, manifest.spec)
    if code.module is not None:
        describing = start_describing(code.module, libraries, names=names, is_module=True)
    elif code.inline is not None:
        descriptor, path = tempfile.mkstemp(prefix="mapreduce-", suffix=".py")
        with os.fdopen(descriptor, "w", encoding="utf-8") as source:
            source.write(code.inline)
        scratch.append(Path(path))
        describing = start_describing(path, libraries, names=names)
    else:
        describing = start_describing(folder / (code.volume_path or ""), libraries, names=names)
    here = Path.cwd()
    absolute = msgspec.structs.replace(
        overrides,
        inputs=tuple(uri if "://" in uri else str(here / uri) for uri in overrides.inputs),
        output=str(here / overrides.output) if overrides.output is not None else None,
    )
    return Preparation(
        code,
        folder,
        absolute,
        name or manifest.metadata.name,
        libraries,
        describing,
        manifest.spec,
        scratch,
        claims or {},
    )


def prepared_of(spec: JobSpec, *, name: str, source: Path, py_files: Iterable[Path] = ()) -> PreparedJob:
    """A job whose spec a program has built, and whose code it has loaded itself."""
    folder = Path(os.path.abspath(spec.output.uri))  # noqa: PTH100 - resolve() would follow links
    output = msgspec.structs.replace(spec.output, uri=str(folder))
    bundle = make_bundle(Code(volume_path=str(source)), py_files=py_files)
    return PreparedJob(name, msgspec.structs.replace(spec, output=output), bundle)


def _names(overrides: Overrides, manifest: JobSpec | None = None) -> Names:
    """The functions asked for by name."""
    asked = Names.asked_by(manifest) if manifest is not None else Names()
    return Names(
        overrides.mapper or asked.mapper, overrides.reducer or asked.reducer, overrides.combiner or asked.combiner
    )


def _refuse_unusable(path: str, description: Description) -> None:
    problem = description.problem
    if problem is None:
        return
    message = problem.message if path in problem.message else f"{path}: {problem.message}"
    raise InvalidUserCode(message + (f"\n{problem.traceback.rstrip()}" if problem.traceback else ""))
