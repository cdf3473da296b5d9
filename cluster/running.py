"""Runs programs: each with a time limit, without standard input unless there is some, and ended with its children.

A step of a build writes what its programs say to a log file of its own and prints one line with its time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from cluster.caching import cache_root
from cluster.errors import ClusterError, CommandFailed

Environment = Mapping[str, str] | None
_LAST_WORDS_S: Final = 5.0
_running: Final[set[subprocess.Popen[bytes]]] = set()


@contextmanager
def step(name: str) -> Iterator[Path]:
    """A named piece of work: gives it an empty log file and prints its time, or that it failed."""
    log = cache_root() / "logs" / f"{name.replace(' ', '-').replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    started = time.monotonic()
    try:
        yield log
    except BaseException:
        say(f"{time.monotonic() - started:7.1f} s  {name}: failed")
        raise
    say(f"{time.monotonic() - started:7.1f} s  {name}")


def say(text: str) -> None:
    """One line for the person who waits; standard output is kept for results."""
    print(text, file=sys.stderr, flush=True)


def logged(
    argv: Sequence[str], log: Path, *, timeout_s: float, env: Environment = None, cwd: Path | None = None
) -> None:
    """Runs a program with all its output appended to `log`; raises `CommandFailed` with the end of that output."""
    with log.open("ab") as target:
        target.write(f"$ {' '.join(argv)}\n".encode())
        target.flush()
        start = target.tell()
        code = _ended(_started(argv, env, cwd, stdin=subprocess.DEVNULL, stdout=target, stderr=target), timeout_s)
    if code != 0:
        with log.open("rb") as source:
            source.seek(start)
            raise CommandFailed(argv, code, source.read().decode(errors="replace"), log)


def output(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Environment = None,
    cwd: Path | None = None,
    given: bytes | Path | None = None,
) -> str:
    """Standard output of a program; `given` is its standard input, as bytes or as a file."""
    with contextlib.ExitStack() as stack:
        source: IO[bytes] | int = subprocess.DEVNULL
        if isinstance(given, Path):
            source = stack.enter_context(given.open("rb"))
        elif given is not None:
            source = subprocess.PIPE
        process = _started(argv, env, cwd, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(given if isinstance(given, bytes) else None, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            out, err = process.communicate()
            raise CommandFailed(argv, None, (out + err).decode(errors="replace")) from None
        except BaseException:
            _end(process)
            raise
        finally:
            _running.discard(process)
    if process.returncode != 0:
        raise CommandFailed(argv, process.returncode, (out + err).decode(errors="replace"))
    return out.decode(errors="replace")


def wait_until(what: str, is_so: Iterator[bool], *, timeout_s: float, every_s: float = 0.3) -> None:
    """Draws from `is_so` until it gives true; raises `ClusterError` naming `what` when the time is up."""
    deadline = time.monotonic() + timeout_s
    for so in is_so:
        if so:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(every_s)
    raise ClusterError(f"{what}: not within {timeout_s:.0f} s")


def end_all() -> None:
    """Ends every program that another thread waits for; that thread gets `CommandFailed`."""
    for process in list(_running):
        _end(process)


def _started(
    argv: Sequence[str],
    env: Environment,
    cwd: Path | None,
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            argv,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # so that a program can be ended together with what it started
        )
    except FileNotFoundError as error:
        raise CommandFailed(argv, 127, f"{error.filename} is not there") from error
    _running.add(process)
    return process


def _ended(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The exit code, or None when the time was up; on any exception the program is ended first."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return None
    except BaseException:
        _end(process)
        raise
    finally:
        _running.discard(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program: asked first, killed after five seconds. What is left of its process group is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_WORDS_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_WORDS_S)
