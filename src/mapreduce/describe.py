"""What a job's code declares, found out in a process of its own: `python -m mapreduce.describe FILE [--py-files ...]`.

Whoever hosts the coordinator never imports user code; it starts this as a child (`start_describing`, then
`Describing.read`) and gets a `Description` as JSON. What the user's file prints while it is imported goes to stderr.
Must start fast: no aiohttp, click or rich.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.bundle import libraries_of
from mapreduce.errors import InvalidUserCode, MapReduceError
from mapreduce.jobspec import CodeProblem, Description
from mapreduce.leaving import leave
from mapreduce.loading import CodeSource, ImportFailed, load_code, user_traceback
from mapreduce.typed import from_json
from mapreduce.userenvironment import user_environment
from mapreduce.userjob import Names, describe_module

DESCRIBE_TIMEOUT_S: Final = 60.0
_MAX_SHOWN_CHARS: Final = 4_000


class Describing(msgspec.Struct, frozen=True):
    """A child that is describing a job's file; `read` waits for it."""

    process: subprocess.Popen[bytes]
    path: str

    def read(self, timeout_s: float = DESCRIBE_TIMEOUT_S) -> Description:
        """The description, with `problem` set when the code cannot be used.

        Raises `InvalidUserCode` if the child died.
        """
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise InvalidUserCode(
                f"{self.path} was still being imported after {timeout_s:.0f} s. Move its work into the mapper or "
                f"reducer."
            ) from None
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        try:
            return from_json(out, Description)
        except msgspec.DecodeError:
            shown = err.decode("utf-8", "replace")[-_MAX_SHOWN_CHARS:].strip()
            raise InvalidUserCode(
                f"{self.path} ended the process that imported it ({_ending(self.process.returncode)})."
                + (f" It said:\n{shown}" if shown else "")
            ) from None


def start_describing(
    path: Path | str,
    py_files: Sequence[Path] = (),
    *,
    names: Names | None = None,
    is_module: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Describing:
    """Start the child and return at once. `path` is a file, or (with `is_module`) the name of an installed module.

    `environment` is what the child sees of one; by default what a local worker passes on.
    """
    names = names or Names()
    options = [
        *(f"--py-files={top}" for top in py_files),
        *(
            f"--{role}={name}"
            for role in ("mapper", "reducer", "combiner")
            if (name := getattr(names, role)) is not None
        ),
        *(["--module"] if is_module else []),
    ]
    # -P keeps the current folder off the import path, the environment PYTHONPATH: a worker has neither.
    command = [sys.executable, "-P", "-m", "mapreduce.describe", *options, "--", str(path)]
    if environment is None:
        environment = user_environment(os.environ, temporary=os.environ.get("TMPDIR"))
    process = subprocess.Popen(  # noqa: S603 (our own interpreter, no shell)
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return Describing(process, str(path))


def describe_in_child(
    path: Path | str,
    py_files: Sequence[Path] = (),
    *,
    names: Names | None = None,
    is_module: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Description:
    """Describe a job's file in another process and wait for it. See `start_describing` and `Describing.read`."""
    return start_describing(path, py_files, names=names, is_module=is_module, environment=environment).read()


def describe_here(source: CodeSource, names: Names) -> Description:
    """Import the code into this process and describe it; what is wrong with it is data, not an exception."""
    try:
        return describe_module(load_code(source).module, name=source.name, names=names)
    except ImportFailed as error:
        return _with_problem(source, str(error), error.traceback)
    except MapReduceError as error:
        return _with_problem(source, str(error), "")
    except Exception as error:  # a signature, a name or an attribute of the user's that raises when it is looked at
        return _with_problem(
            source, f"{type(error).__name__}: {error}", user_traceback(error, error.__traceback__, source)
        )


def _with_problem(source: CodeSource, message: str, traceback: str) -> Description:
    return Description(name=source.name, problem=CodeProblem(message=message, traceback=traceback))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def main(arguments: Sequence[str]) -> int:
    """The child: print one JSON document to stdout. Exit code 0 also when the code is unusable."""
    parser = argparse.ArgumentParser(
        prog="python -m mapreduce.describe", description="Describe a job's Python file as JSON."
    )
    parser.add_argument("path", help="the job's file")
    parser.add_argument("--py-files", action="append", default=[], type=Path, help="a module that it brings along")
    parser.add_argument("--module", action="store_true", help="PATH is the name of an installed module")
    for role in ("mapper", "reducer", "combiner"):
        parser.add_argument(f"--{role}", help=f"name of the {role}")
    asked = parser.parse_args(arguments)
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever the user's file prints must not end up in the JSON
    try:
        libraries = libraries_of(asked.py_files)
        path = Path(asked.path)
        source = CodeSource(None if asked.module else path.absolute(), asked.path if asked.module else "", libraries)
        if source.file is not None and not source.file.is_file():
            description = _with_problem(source, f"{path} is no file. Name the job's Python file.", "")
        else:
            description = describe_here(source, Names(asked.mapper, asked.reducer, asked.combiner))
    except InvalidUserCode as error:
        description = Description(name=Path(asked.path).stem, problem=CodeProblem(message=str(error)))
    body = msgspec.json.encode(_printable(description))
    sys.stdout.flush()
    with os.fdopen(answer, "wb") as out:
        out.write(body + b"\n")
    return 0


def _printable(description: Description) -> Description:
    """The same without lone surrogates, which JSON cannot carry (an undecodable path in a message)."""
    problem = description.problem
    if problem is None:
        return description
    message, traceback = (text.encode("utf-8", "replace").decode() for text in (problem.message, problem.traceback))
    return msgspec.structs.replace(description, problem=CodeProblem(message=message, traceback=traceback))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
