"""From what a test names (a job, a module, a file) to functions and a specification that engines take."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mapreduce.api import Job
from mapreduce.errors import InvalidUserCode
from mapreduce.jobspec import Description, Overrides, build_spec
from mapreduce.loading import CodeSource, load_code, types_of
from mapreduce.model import InputFormat, JobSpec, OutputFormat
from mapreduce.testing.recordfiles import Records, write_records
from mapreduce.userjob import Found, Names, UserJob, describe_found, find_functions, functions_of, user_job

#: A job made by `mapreduce.job`, a module with `mapper` and `reducer`, or the path of such a file.
JobLike = Job | ModuleType | str | Path

#: oracle: the plain reference, in this process; inline: the engine's data plane, in this process; workers: the whole
#: engine, with coordinator, log and worker processes.
Engine = Literal["oracle", "inline", "workers"]


@dataclass(frozen=True, slots=True)
class Tested:
    """A job under test: its functions in this process, and the file that holds them."""

    name: str
    found: Found
    types: Mapping[str, type]
    file: Path | None

    @property
    def description(self) -> Description:
        """What it declares."""
        return describe_found(self.found, name=self.name)

    @property
    def source(self) -> Path:
        """The file, for workers. Raises InvalidUserCode."""
        if self.file is None:
            raise InvalidUserCode(f"job {self.name!r} is not written in a file, so that no worker could import it")
        return self.file

    def functions(self, spec: JobSpec) -> UserJob:
        """The functions as engines in this process take them."""
        return user_job(self.found, name=self.name, is_map_only=spec.reducers == 0, types=self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a test wants its job run."""

    args: Mapping[str, object]
    format: InputFormat | None
    output_format: OutputFormat
    reducers: int | None
    splits: int | None
    memory_budget_bytes: int | None = None
    max_attempts: int | None = None
    max_lost_attempts: int | None = None


def tested_job(job: JobLike, names: Names) -> Tested:
    """The job that a test names. Raises `InvalidUserCode`."""
    if isinstance(job, Job):
        found = functions_of(job)
        module = sys.modules.get(getattr(found.mapper.function, "__module__", ""))
        return Tested(job.name, found, types_of([module] if module else []), _file_of(module))
    if isinstance(job, ModuleType):
        name = job.__name__.rpartition(".")[2]
        found = find_functions(job, names)
        return Tested(found.job.name if found.job else name, found, types_of([job]), _file_of(job))
    file = Path(job).absolute()
    if not file.is_file():
        raise InvalidUserCode(f"{file}: there is no such file; name the job's Python file")
    code = load_code(CodeSource(file))
    found = find_functions(code.module, names)
    return Tested(found.job.name if found.job else file.stem, found, code.types, file)


def spec_of(tested: Tested, records: Records, folder: Path, asked: Asked) -> JobSpec:
    """The specification; its inputs are written below `folder` and its output lies there."""
    description = tested.description
    kind = asked.format or description.options.format or "lines"
    inputs = write_records(records, folder / "input", kind)
    overrides: dict[str, Any] = {
        "inputs": tuple(inputs),
        "output": str(folder / "output"),
        "args": {name: str(value) for name, value in asked.args.items()},
        "format": asked.format,
        "output_format": asked.output_format,
        "reducers": asked.reducers,
        "memory_budget_bytes": asked.memory_budget_bytes,
        "max_attempts": asked.max_attempts,
        "max_lost_attempts": asked.max_lost_attempts,
        "split_size_bytes": _split_size(inputs, asked.splits),
    }
    source = tested.file or Path(folder / "job.py")
    return build_spec(description, Overrides(**overrides), source=source, base=folder)


def _split_size(inputs: list[str], splits: int | None) -> int | None:
    if splits is None:
        return None
    files = [file for path in map(Path, inputs) for file in (path.rglob("*") if path.is_dir() else [path])]
    total = sum(file.stat().st_size for file in files if file.is_file())
    return -(-total // splits) or None  # a glob's files are not counted: the default cuts them


def _file_of(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name).resolve() if name and not name.startswith("<") else None
