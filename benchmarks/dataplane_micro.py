"""How fast the data plane is on one core, as ratios to a loop that anybody would write by hand, measured beside it.

    python benchmarks/dataplane_micro.py [--mib 16] [--repeat 3] [--texts 'folder/*.txt']

Two corpora, made here: `text` repeats lines of the given books (or of a made-up vocabulary with natural frequencies),
`keys` has mostly distinct words. The yardstick is `Counter.update(line.split())` over the same file. Ratios above 1 are
faster. Seconds are processor time: a busy neighbour does not count.
"""

from __future__ import annotations

import argparse
import functools
import gc
import glob
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mapreduce.api import Context
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.work import MapWork, ReduceWork, RunSource
from mapreduce.model import Input
from mapreduce.protocol.messages import FileRange, Split, TaskOutput
from mapreduce.userjob import UserJob

MIB = 1 << 20
PARTITIONS = 8


def pairs(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def words(line: str) -> list[str]:
    return line.split()


def places(line: str, ctx: Context) -> Iterator[tuple[str, str]]:
    for word in line.split():
        yield word, ctx.input_file


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


def distinct(word: str, files: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    yield word, sorted(set(files))


JOBS = {
    "sum": UserJob("sum", pairs, 1, named_reducer="sum"),
    "count, bare keys": UserJob("count", words, 1, named_reducer="count"),
    "mean": UserJob("mean", pairs, 1, named_reducer="mean"),
    "max": UserJob("max", pairs, 1, named_reducer="max"),
    "reducer + combiner": UserJob("combine", pairs, 1, reducer=total, combiner=total),
    "reducer, values kept": UserJob("index", places, 1, mapper_wants_ctx=True, reducer=distinct),
}


def make_text(path: Path, size: int, pattern: str) -> None:
    rng = random.Random(1)
    lines = [line for name in sorted(glob.glob(pattern)) for line in Path(name).read_bytes().splitlines(keepends=True)]
    if not lines:
        vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 10))) for _ in range(50_000)]
        weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
        lines = [" ".join(rng.choices(vocabulary, weights, k=10)).encode() + b"\n" for _ in range(20_000)]
    write_lines(path, size, lambda: rng.choice(lines))


def make_keys(path: Path, size: int) -> None:
    rng = random.Random(2)
    write_lines(
        path,
        size,
        lambda: " ".join(f"w{int(rng.random() ** 2 * 20_000_000):x}" for _ in range(9)).encode() + b"\n",
    )


def write_lines(path: Path, size: int, line: Callable[[], bytes]) -> None:
    with path.open("wb") as file:
        while file.tell() < size:
            file.writelines(line() for _ in range(1_000))


def by_hand(path: Path) -> int:
    counts: Counter[str] = Counter()
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            counts.update(line.split())
    return len(counts)


def map_once(job: UserJob, path: Path, folder: Path, budget: int) -> TaskOutput:
    facts = path.stat()
    split = Split(
        input=0,
        files=(FileRange(path=str(path), start=0, end=facts.st_size, size=facts.st_size, mtime_ns=facts.st_mtime_ns),),
    )
    return run_map(
        MapWork(
            job,
            Context(),
            split,
            Input(uri=str(path)),
            0,
            PARTITIONS,
            budget,
            folder / "map.run",
            "text",
            RunHeader(1, 0, 1, 1),
        )
    )


def reduce_once(job: UserJob, digest: int, folder: Path, budget: int) -> int:
    source = RunSource(0, folder / "map.run", digest, "map-0")
    return sum(
        run_reduce(ReduceWork(job, Context(), part, [source], budget, folder / f"part-{part}", "text", folder)).records
        for part in range(PARTITIONS)
    )


def seconds(repeat: int, call: Callable[[], Any]) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(repeat):
        gc.collect()
        start = time.process_time()
        result = call()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--budget-mib", type=int, default=256)
    parser.add_argument("--texts", default="")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    gc.disable()  # as executors do during a task
    budget = options.budget_mib * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_text(folder / "text", options.mib * MIB, options.texts)
        make_keys(folder / "keys", options.mib * MIB)
        print(f"{'corpus':7} {'job':22} {'map+spill':>10} {'ratio':>6} {'reduce':>8}  steps of the map task, s")
        for corpus in ("text", "keys"):
            path = folder / corpus
            hand, distinct_words = seconds(options.repeat, functools.partial(by_hand, path))
            print(
                f"{corpus:7} {'by hand':22} {options.mib / hand:6.1f} MiB/s {1:5.2f}  {distinct_words} distinct words"
            )
            for label, job in JOBS.items():
                if options.only not in label:
                    continue
                mapped, output = seconds(options.repeat, functools.partial(map_once, job, path, folder, budget))
                reduced, _ = seconds(1, functools.partial(reduce_once, job, output.digest, folder, budget))
                steps = " ".join(f"{step} {taken:.2f}" for step, taken in output.step_s.items())
                rate = f"{options.mib / mapped:6.1f} MiB/s {hand / mapped:5.2f}"
                print(f"{corpus:7} {label:22} {rate} {reduced:7.2f} s  {steps}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:.0f} MiB")


if __name__ == "__main__":
    main()
