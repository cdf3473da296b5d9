"""Jobs for simulations: tiny, real code in a real bundle, real input files, and the oracle's answer to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from mapreduce.bundle import Bundle, load_job, make_bundle, open_bundle
from mapreduce.model import (
    Code,
    Input,
    InputFormat,
    JobSpec,
    Output,
    OutputFormat,
    Shuffle,
    Speculation,
    Storage,
    Workers,
)
from mapreduce.protocol.messages import SubmitRequest
from mapreduce.sequential import run_sequential

WORD_COUNT = """
def mapper(line, ctx):
    for word in line.split():
        ctx.count("words")
        yield word, 1
"""

#: Which lines a word is in, in the order of the input: shows every value that is lost, doubled or out of place.
INVERTED_INDEX = """
from pathlib import Path

def mapper(offset, line, ctx):
    for word in line.split():
        yield word, f"{Path(ctx.input_file).name}:{offset}"

def reducer(word, places):
    yield word, " ".join(places)
"""

#: Comes out different each time it is run.
NON_DETERMINISTIC = """
def mapper(line, ctx):
    for word in line.split():
        yield word, ctx.attempt

def reducer(word, attempts):
    yield word, sorted(set(attempts))
"""

#: Fails at its first attempts; `failures` says how many.
STUMBLING = """
def mapper(line, ctx):
    if ctx.attempt <= int(ctx.args["failures"]):
        raise ValueError(f"attempt {ctx.attempt} stumbles over {line!r}")
    for word in line.split():
        yield word, 1
"""

TEXTS: Mapping[str, str] = {
    "a.txt": "the quick brown fox\njumps over the lazy dog\nthe end\n",
    "b.txt": "a fox and a dog\nand another fox\n\nno newline at the end",
}


@dataclass(frozen=True, slots=True)
class SimJob:
    """A job and what it reads. `request` is made when its files are written."""

    name: str = "job"
    code: str = WORD_COUNT
    texts: Mapping[str, str | bytes] = field(default_factory=lambda: TEXTS)
    reducer: str | None = "sum"
    reducers: int = 2
    split_bytes: int = 30
    input_format: InputFormat = "lines"
    output_format: OutputFormat = "text"
    args: Mapping[str, str] = field(default_factory=dict)
    lease_s: int = 5
    max_attempts: int = 4
    max_lost_attempts: int = 8
    shuffle: Shuffle = "Shared"
    speculation: Speculation = "Never"
    retain_runs: Literal["Never", "OnFailure", "Always"] = "OnFailure"
    slots: int = 1
    oracle_args: Mapping[str, str] | None = None
    """Arguments for the oracle, where the job's own make it stumble."""
    is_deterministic: bool = True
    """False: there is no oracle, the test itself knows what may come out."""

    def place(self, root: Path) -> PlacedJob:
        """Writes the input below `root` and makes the request."""
        inputs = root / "in" / self.name
        inputs.mkdir(parents=True, exist_ok=True)
        for name, text in self.texts.items():
            (inputs / name).write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
        code = Code(inline=self.code)
        bundle = make_bundle(code)
        spec = JobSpec(
            code=code,
            inputs=(Input(uri=str(inputs), format=self.input_format),),
            output=Output(uri=str(root / "out" / self.name), format=self.output_format),
            reducer=self.reducer,
            reducers=self.reducers,
            args=dict(self.args),
            split_size_bytes=self.split_bytes,
            workers=Workers(slots=self.slots, memory_budget_bytes=1 << 20),
            storage=Storage(shuffle=self.shuffle, retain_runs=self.retain_runs),
            lease_seconds=self.lease_s,
            max_attempts=self.max_attempts,
            max_lost_attempts=self.max_lost_attempts,
            speculation=self.speculation,
        )
        request = SubmitRequest(name=self.name, spec=spec, code=bundle.sha256)
        return PlacedJob(self, request, bundle, root)


@dataclass(frozen=True, slots=True)
class PlacedJob:
    """A job whose files are there."""

    job: SimJob
    request: SubmitRequest
    bundle: Bundle
    root: Path

    @property
    def output(self) -> Path:
        return Path(self.request.spec.output.uri)

    def expected(self) -> dict[str, bytes]:
        """The parts that the sequential oracle makes, by name."""
        source = open_bundle(self.bundle.data, self.root / "oracle-code", sha256=self.bundle.sha256)
        spec = self.request.spec
        if self.job.oracle_args is not None:
            spec = msgspec.structs.replace(spec, args=dict(self.job.oracle_args))
        functions = load_job(source, spec, name=self.job.name)
        folder = self.root / "oracle" / self.job.name
        run_sequential(spec, functions, folder)
        return parts_in(folder)


def parts_in(folder: Path) -> dict[str, bytes]:
    """The parts in an output folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith("_")}
