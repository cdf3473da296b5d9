"""What users import: `Context` and `job(...)`. Standard library only, and nothing heavy at import.

Reading a user's file and making a job of it is `mapreduce.userjob`; running one is `mapreduce.local`, what comes of it
`mapreduce.result`: both are imported only when a job is run.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeVar, cast, overload

if TYPE_CHECKING:  # pathlib, too, costs more at import than this whole module
    from pathlib import Path

    from mapreduce.local.watching import Watcher
    from mapreduce.model import JobSpec
    from mapreduce.protocol.messages import JobStatus
    from mapreduce.result import Result

_F = TypeVar("_F", bound=Callable[..., Any])

#: Name under which a job's file is imported by everything that runs it; part of the names of its stored dataclasses.
JOB_MODULE: Final = "_mapreduce_job"

#: How `Job.run` tells how far it is.
Progress = Literal["bars", "plain", "none"]

OPTION_NAMES: Final = (
    "args",
    "encoding",
    "format",
    "max_attempts",
    "output_format",
    "reducer",
    "reducers",
    "split_size_bytes",
    "task_timeout_seconds",
)


class Context:
    """What a function that takes `ctx` learns about its task, and where it counts.

    `args` are the job's arguments (`--arg name=value`), `input_file` the file that the current record comes from
    (empty in a reducer), `partition` the reduce task's number (None in a mapper), `attempt` the number of this try,
    from 1.
    """

    __slots__ = ("args", "attempt", "counters", "input_file", "job_name", "partition", "task_id")

    def __init__(
        self,
        *,
        job_name: str = "",
        task_id: str = "",
        attempt: int = 1,
        args: Mapping[str, str] | None = None,
        input_file: str = "",
        partition: int | None = None,
    ) -> None:
        self.args: Mapping[str, str] = {} if args is None else args
        self.job_name = job_name
        self.task_id = task_id
        self.attempt = attempt
        self.input_file = input_file
        self.partition = partition
        self.counters: dict[str, int] = {}

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to the job's counter `name`. Only attempts that are committed count."""
        if type(name) is not str or not isinstance(n, int):
            raise TypeError(f"ctx.count(name, n) takes a str and an int, not {name!r} and {n!r}")
        self.counters[name] = self.counters.get(name, 0) + int(n)


class DeclaredMapper(NamedTuple):
    """A mapper as a decorator declared it."""

    function: Callable[..., Any]
    per: Literal["record", "split"] = "record"
    with_keys: bool = False
    """Only with `per="split"`: the iterator gives (key, value) pairs instead of values."""


class Job:
    """A job declared by decorators; made by `job(...)`. The decorators return the function unchanged."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = options
        self.declared_mapper: DeclaredMapper | None = None
        self.declared_reducer: Callable[..., Any] | None = None
        self.declared_combiner: Callable[..., Any] | None = None

    @overload
    def mapper(self, function: _F, /) -> _F: ...
    @overload
    def mapper(
        self, function: None = None, /, *, per: Literal["record", "split"] = ..., with_keys: bool = ...
    ) -> Callable[[_F], _F]: ...
    def mapper(
        self, function: Any = None, /, *, per: Literal["record", "split"] = "record", with_keys: bool = False
    ) -> Any:
        """Declare the mapper: called with each record, or (`per="split"`) once a split with an iterator of them."""
        if per not in {"record", "split"}:
            raise ValueError(f'mapper(per={per!r}): per is "record" or "split"')
        if with_keys and per == "record":
            raise ValueError('mapper(with_keys=True) goes with per="split"; else write a mapper(key, value)')

        def declare(mapper: _F) -> _F:
            self._refuse_second("mapper", self.declared_mapper)
            self.declared_mapper = DeclaredMapper(mapper, per, with_keys)
            return mapper

        return declare if function is None else declare(function)

    @overload
    def reducer(self, function: _F, /) -> _F: ...
    @overload
    def reducer(self, function: None = None, /, *, combiner: bool = ...) -> Callable[[_F], _F]: ...
    def reducer(self, function: Any = None, /, *, combiner: bool = False) -> Any:
        """Declare the reducer; `combiner=True` when it may also run beside the mapper, on a part of the values."""

        def declare(reducer: _F) -> _F:
            self._refuse_second("reducer", self.declared_reducer or self.options.get("reducer"))
            self.declared_reducer = reducer
            if combiner:
                self._refuse_second("combiner", self.declared_combiner)
                self.declared_combiner = reducer
            return reducer

        return declare if function is None else declare(function)

    def combiner(self, function: _F, /) -> _F:
        """Declare the combiner: like a reducer, called on a part of a key's values, any number of times."""
        self._refuse_second("combiner", self.declared_combiner)
        self.declared_combiner = function
        return function

    def run(
        self,
        inputs: str | Path | Iterable[str | Path],
        *,
        output: str | Path,
        args: Mapping[str, object] | None = None,
        py_files: Iterable[str | Path] = (),
        workers: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Result:
        """Run this job here and wait for its end.

        `inputs` is a file, folder or glob, or several; `output` a folder. `progress` is "bars" (on a terminal), "plain"
        (a line each five seconds), "none", or by default "none" in a script and a live display in a notebook. Raises
        `JobFailed` with the traceback and record at fault, and the errors of `mapreduce.errors` for a request that
        cannot be carried out.
        """
        import time
        from pathlib import Path

        from mapreduce.result import Result

        source = self._source("run")
        libraries = tuple(Path(path) for path in py_files)
        spec = self._spec(source, inputs, output, args, overwrite=overwrite)
        local = cast("_LocalRun", importlib.import_module("mapreduce.local.run"))
        watching = cast("_Watching", importlib.import_module("mapreduce.local.choosing"))
        watcher = watching.make_watcher(progress, self.name)
        started_s = time.monotonic()
        status = local.run_job(
            spec, name=self.name, source=source, py_files=libraries, workers=workers, watcher=watcher
        )
        if status.state != "Complete":
            from mapreduce.errors import JobFailed

            raise JobFailed(status.reason or status.state, status.message)
        return Result(
            Path(spec.output.uri),
            spec.output.format,
            status.counters,
            name=self.name,
            seconds=time.monotonic() - started_s,
        )

    def manifest(
        self,
        inputs: str | Path | Iterable[str | Path],
        *,
        output: str | Path,
        args: Mapping[str, object] | None = None,
    ) -> str:
        """The YAML of a `MapReduceJob` that runs this job in a cluster; the file's source travels inside it."""
        from mapreduce import manifest

        source = self._source("manifest")
        spec = self._spec(source, inputs, output, args, is_local=False)
        return manifest.to_yaml(manifest.make(self.name, manifest.with_inline_code(spec, source)))

    def _spec(
        self,
        source: Path,
        inputs: str | Path | Iterable[str | Path],
        output: str | Path,
        args: Mapping[str, object] | None,
        *,
        is_local: bool = True,
        overwrite: bool = False,
    ) -> JobSpec:
        from pathlib import Path

        from mapreduce import jobspec, userjob

        uris = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
        overrides = jobspec.Overrides(
            inputs=tuple(str(uri) for uri in uris),
            output=str(output),
            args={name: str(value) for name, value in (args or {}).items()},
            overwrite=overwrite,
        )
        base = Path.cwd() if is_local else None
        return jobspec.build_spec(userjob.declaration_of(self), overrides, source=source, base=base)

    def _source(self, method: str) -> Path:
        """The file that holds this job. Refuses inside an import by the engine: the job would start itself for ever."""
        from pathlib import Path

        from mapreduce.errors import InvalidUserCode

        if self.declared_mapper is None:
            raise InvalidUserCode(f"job {self.name!r} has no mapper. Decorate one with @<job>.mapper.")
        module = getattr(self.declared_mapper.function, "__module__", "")
        if module == JOB_MODULE:
            raise InvalidUserCode(
                f"{method}() was called while the job's file was being imported. "
                f'Put the call under `if __name__ == "__main__":`.'
            )
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or file.startswith("<"):  # typed in, or read from standard input: `<stdin>`
            raise InvalidUserCode(
                f"job {self.name!r} is not written in a file, so that no worker could import it. "
                f"Save it as a .py file and run that."
                + (" In a notebook, begin its cell with `%%writefile job.py`." if "IPython" in sys.modules else "")
            )
        return Path(file).resolve()

    def _refuse_second(self, role: str, present: object) -> None:
        if present is not None:
            from mapreduce.errors import InvalidUserCode

            raise InvalidUserCode(f"job {self.name!r} declares its {role} twice. Keep one of them.")


class _LocalRun(Protocol):
    """The one function of `mapreduce.local.run` that this module calls; the module stands above this one."""

    def run_job(
        self,
        spec: JobSpec,
        *,
        name: str,
        source: Path,
        py_files: tuple[Path, ...],
        workers: int | None,
        watcher: Watcher,
    ) -> JobStatus: ...


class _Watching(Protocol):
    """The one function of `mapreduce.local.choosing` that this module calls."""

    def make_watcher(self, progress: Progress | None, name: str) -> Watcher: ...


def job(name: str, **options: Any) -> Job:
    """Declare a job. Options: reducers, reducer ("sum", ...), format, encoding, output_format, args, split_size_bytes,
    max_attempts, task_timeout_seconds; what is given on the command line or in a manifest goes before them.
    """
    unknown = sorted(set(options) - set(OPTION_NAMES))
    if unknown:
        import difflib

        from mapreduce.errors import InvalidJobSpec

        near = difflib.get_close_matches(unknown[0], OPTION_NAMES, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Options are {', '.join(OPTION_NAMES)}."
        raise InvalidJobSpec(f"job({name!r})", f"has no option {', '.join(unknown)}.", hint)
    return Job(name, options)
