"""The child process of `mr check FILE SAMPLE`: runs a job on a sample by the engine and by the reference, and compares.

Reads a `Trial` from stdin. Exit code 0: equal; 1: different, or the functions failed; the story is printed either way.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.bundle import load_job, open_bundle
from mapreduce.errors import MapReduceError, TaskFailed
from mapreduce.inline import run_inline
from mapreduce.local.success import read_success
from mapreduce.model import JobSpec
from mapreduce.sequential import run_sequential
from mapreduce_cli.summary import WARNING_TEXTS, plural

_SHOWN_LINES: Final = 5


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What to try."""

    name: str
    spec: JobSpec
    bundle: bytes
    sha256: str


def main() -> int:
    """The child."""
    trial = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Trial)
    try:
        with tempfile.TemporaryDirectory(prefix="mapreduce-check-") as scratch:
            return _compare(trial, Path(scratch))
    except TaskFailed as error:
        place = f"\n  record    {error.record}" if error.record else ""
        print(f"mr: the sample fails: {error}{place}\n{error.traceback}".rstrip(), file=sys.stderr)
    except MapReduceError as error:
        print(f"mr: {error}", file=sys.stderr)
        return error.exit_code
    except Exception:
        traceback.print_exc()
    return 1


def _compare(trial: Trial, scratch: Path) -> int:
    by_engine, by_reference = scratch / "engine", scratch / "reference"
    counters = []
    for folder, run in ((by_engine, run_inline), (by_reference, run_sequential)):
        folder.mkdir()
        # Imported anew for each: what the functions keep in globals must not pass from one to the other.
        job = load_job(open_bundle(trial.bundle, scratch / "code", sha256=trial.sha256), trial.spec, name=trial.name)
        counters.append(run(trial.spec, job, folder))
    parts = [_parts(folder) for folder in (by_engine, by_reference)]
    different = sorted(name for name in {*parts[0], *parts[1]} if parts[0].get(name) != parts[1].get(name))
    if different:
        print(_difference(parts[0].get(different[0], b""), parts[1].get(different[0], b""), different[0]))
        return 1
    lines = sum(content.count(b"\n") for content in parts[0].values())
    sizes = f"{plural(lines, 'record')} in {plural(len(parts[0]), 'part')}"
    print(f"sample: {sizes}, the same by the engine and by the reference")
    for content in list(parts[0].values())[:1]:
        for line in content.split(b"\n", _SHOWN_LINES)[:_SHOWN_LINES]:
            print(f"  {line.decode('utf-8', 'replace')}")
    for name, count in sorted(counters[0].items()):
        print(f"  counter {name} {count:,}")
    if trial.spec.combiner is not None:
        print("note: a combiner of your own on floats may round otherwise with other splits; named reducers do not")
    success = read_success(by_engine / "_SUCCESS")
    for name, count in (success.warnings if success is not None else {}).items():
        print(f"warning: {name} {count:,}: {WARNING_TEXTS.get(name, '')}".rstrip(": "))
    return 0


def _parts(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(("_", "."))
    }


def _difference(engine: bytes, reference: bytes, name: str) -> str:
    """The first line that differs, and what that usually means."""
    pairs = zip(engine.split(b"\n"), reference.split(b"\n"), strict=False)
    number, (one, other) = next(
        ((number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1]), (0, (b"", b""))
    )
    return (
        f"mr: the sample gives two results: {name}, line {number}\n"
        f"  engine     {one.decode('utf-8', 'replace')}\n"
        f"  reference  {other.decode('utf-8', 'replace')}\n"
        f"A combiner that changes results does that, and functions that are not deterministic (time, random numbers, "
        f"the order of a set)."
    )


if __name__ == "__main__":
    sys.exit(main())
