"""Importing a job's code: its file under one stable private name, and the modules it brings along, and nothing else of
them.

What belongs to a job's code, and how it travels, is `bundle`; what its functions mean is `userjob`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, TracebackType

import msgspec

from mapreduce.api import JOB_MODULE
from mapreduce.errors import InvalidUserCode


class ImportFailed(InvalidUserCode):
    """The job's code raised while it was imported; `traceback` starts at the first frame of the user's code."""

    def __init__(self, message: str, *, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


class CodeSource(msgspec.Struct, frozen=True):
    """Where to import a job from: a file, or the name of an installed module; and the modules it brings along."""

    file: Path | None = None
    module: str = ""
    libraries: Mapping[str, Path] = msgspec.field(default_factory=dict)
    """Top-level module name to the folder that holds it."""

    @property
    def name(self) -> str:
        """A name for a job that does not give itself one."""
        return self.file.stem if self.file is not None else self.module.rpartition(".")[2]


class LoadedCode(msgspec.Struct, frozen=True):
    """An imported job: its module, and by name the types of its values."""

    module: ModuleType
    types: Mapping[str, type]


def load_code(source: CodeSource) -> LoadedCode:
    """Import a job's code, afresh. Raises `ImportFailed` with the user's traceback."""
    _offer_libraries(source.libraries)
    module = _import_file(source) if source.file is not None else _import_module(source)
    own = {JOB_MODULE, *source.libraries}
    if source.module:
        own.add(source.module.partition(".")[0])
    modules = [value for name, value in sys.modules.copy().items() if name.partition(".")[0] in own]
    return LoadedCode(module, types_of(modules))


def types_of(modules: Sequence[ModuleType]) -> dict[str, type]:
    """The dataclasses and Structs that modules define, by the names under which they are stored."""
    return {f"{kind.__module__}:{kind.__qualname__}": kind for kind in _record_types(modules)}


class _LibraryFinder(MetaPathFinder):
    """Finds exactly the modules that a job brings along: their neighbours in the same folder stay invisible."""

    def __init__(self, libraries: Mapping[str, Path]) -> None:
        self.libraries = libraries

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and fullname in self.libraries:
            return PathFinder.find_spec(fullname, [str(self.libraries[fullname])])
        return None  # submodules are found by their package's own path


class _UncachedLoader(SourceFileLoader):
    """Compiles the source each time: a cached file of the same second and size would be another version of the job."""

    def path_stats(self, path: str) -> Mapping[str, int]:
        raise OSError("no cache")


def _offer_libraries(libraries: Mapping[str, Path]) -> None:
    """Make `libraries` importable, in place of those of a job that was loaded before in this process."""
    before = [finder for finder in sys.meta_path if isinstance(finder, _LibraryFinder)]
    stale = {name for finder in before for name in finder.libraries} | set(libraries)
    for finder in before:
        sys.meta_path.remove(finder)
    for name in [name for name in sys.modules.copy() if name.partition(".")[0] in stale]:
        del sys.modules[name]
    if libraries:
        sys.meta_path.insert(0, _LibraryFinder(libraries))


def _import_file(source: CodeSource) -> ModuleType:
    file = source.file
    assert file is not None, "the caller asked"
    spec = spec_from_file_location(JOB_MODULE, file, loader=_UncachedLoader(JOB_MODULE, str(file)))
    assert spec is not None, "a loader is given"
    assert spec.loader is not None, "a loader is given"
    module = module_from_spec(spec)
    sys.modules[JOB_MODULE] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[JOB_MODULE]
        raise _import_failed(error, source) from error
    return module


def _import_module(source: CodeSource) -> ModuleType:
    try:
        return importlib.import_module(source.module)
    except (Exception, SystemExit) as error:
        raise _import_failed(error, source) from error


def _import_failed(error: BaseException, source: CodeSource) -> InvalidUserCode:
    """What to tell the user; refusals of our own (a `run()` in the file, a misspelt option) already say it all."""
    if isinstance(error, InvalidUserCode) and not isinstance(error, ImportFailed):
        return error
    shown = source.file.name if source.file is not None else source.module
    what = f"{shown} cannot be imported: {type(error).__name__}: {error}".rstrip(": .") + "."
    if isinstance(error, SystemExit):
        what = f'{shown} ends the process when it is imported. Put that under `if __name__ == "__main__":`.'
    elif isinstance(error, ModuleNotFoundError) and error.name:
        what = f"{what} {_missing_module_fix(error.name.partition('.')[0], source.file)}"
    return ImportFailed(what, traceback=user_traceback(error, error.__traceback__, source))


def _missing_module_fix(name: str, file: Path | None) -> str:
    for candidate in (file.with_name(f"{name}.py"), file.with_name(name)) if file is not None else ():
        if candidate.exists():
            return f"Take it along with --py-files {candidate}."
    near = difflib.get_close_matches(name, sys.stdlib_module_names, n=1, cutoff=0.85)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Install {name} where the workers run, or take your own module along with --py-files."


def user_traceback(error: BaseException, frames: TracebackType | None, source: CodeSource) -> str:
    """The traceback as text, from the first frame that lies in the user's code on."""
    first = frames
    while first is not None and not _is_user_file(first.tb_frame.f_code.co_filename, source):
        first = first.tb_next
    if first is None and source.file is not None:  # a syntax error has no frame of its own
        return "".join(traceback.format_exception_only(error))
    return "".join(traceback.format_exception(type(error), error, first or frames, chain=first is not None))


def _is_user_file(name: str, source: CodeSource) -> bool:
    if source.file is not None and name == str(source.file):
        return True
    path = Path(name)
    return any(
        path.is_relative_to(folder / top) or path == folder / f"{top}.py" for top, folder in source.libraries.items()
    )


def _record_types(modules: Sequence[ModuleType]) -> Iterator[type]:
    """The dataclasses and Structs that these modules define, nested ones too."""
    names = {module.__name__ for module in modules}
    waiting = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    seen: set[type] = set()
    while waiting:
        kind = waiting.pop()
        if kind in seen or kind.__module__ not in names:
            continue
        seen.add(kind)
        waiting.extend(value for value in vars(kind).values() if isinstance(value, type))
        if dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct):
            yield kind
