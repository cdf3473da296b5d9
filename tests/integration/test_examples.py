"""Every example, by the command in its own docstring: the engine gives what the oracle gives, however it is cut."""

from __future__ import annotations

import csv
import json
import re
import shlex
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.bundle import load_job
from mapreduce.describe import describe_here
from mapreduce.inline import run_inline
from mapreduce.jobspec import Overrides, build_spec
from mapreduce.loading import CodeSource
from mapreduce.model import JobSpec
from mapreduce.result import Result
from mapreduce.sequential import run_sequential
from mapreduce.userjob import Names

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Command:
    """A line of a docstring: `mr run FILE INPUT... -o FOLDER [--option value]...`."""

    file: str
    inputs: tuple[str, ...]
    options: dict[str, str]
    args: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Command:
        words = shlex.split(line)[2:]
        inputs: list[str] = []
        options: dict[str, str] = {}
        args: dict[str, str] = {}
        while words:
            word = words.pop(0)
            if word == "--arg":
                name, _, value = words.pop(0).partition("=")
                args[name] = value
            elif word.startswith("-"):
                options[word.lstrip("-")] = words.pop(0)
            else:
                inputs.append(word)
        assert "o" in options
        return cls(inputs[0], tuple(inputs[1:]), options, args)

    def spec(self, **more: Any) -> JobSpec:
        source = CodeSource(ROOT / self.file)
        mapper = self.options.get("mapper")
        description = describe_here(source, Names(mapper=mapper))
        assert description.problem is None, description.problem
        overrides = msgspec.convert(
            {
                "inputs": self.inputs,
                "output": self.options["o"],
                "args": self.args,
                "format": self.options.get("format"),
                "mapper": mapper,
                **more,
            },
            Overrides,
        )
        return build_spec(description, overrides, source=source.file, base=ROOT)


def _commands() -> list[Command]:
    lines = [
        line
        for path in sorted((ROOT / "examples").glob("*.py"))
        for line in re.findall(r"^ +(mr run .*)$", path.read_text().replace("\\\\", "\\"), re.MULTILINE)
    ]
    return [Command.parse(line) for line in lines]


COMMANDS = _commands()


def _run(spec: JobSpec, folder: Path, *, is_sequential: bool) -> tuple[dict[str, bytes], dict[str, int]]:
    assert spec.code.volume_path is not None
    job = load_job(CodeSource(Path(spec.code.volume_path)), spec, name="example")
    counters = (run_sequential if is_sequential else run_inline)(spec, job, folder)
    return _parts(folder), counters


def _parts(folder: Path) -> dict[str, bytes]:
    assert (folder / "_SUCCESS").exists()
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "_SUCCESS"}


def test_every_example_says_how_to_run_it() -> None:
    named = {Path(command.file).name for command in COMMANDS}
    assert named == {path.name for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{Path(command.file).stem}-{command.options['o']}")
def test_the_engine_makes_the_same_bytes_as_the_oracle_for_all_splits_and_reducers(
    command: Command, tmp_path: Path
) -> None:
    plain = command.spec()
    counts = [0] if plain.reducers == 0 else [1, 3]
    for size in (60, 400, 1 << 20):
        for reducers in counts:
            spec = command.spec(split_size_bytes=size, reducers=reducers)
            expected = _run(spec, tmp_path / f"s{size}-{reducers}", is_sequential=True)
            assert _run(spec, tmp_path / f"i{size}-{reducers}", is_sequential=False) == expected
            assert sum(map(len, expected[0].values())) > 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{Path(command.file).stem}-{command.options['o']}")
def test_the_result_does_not_depend_on_how_the_input_was_cut(command: Command, tmp_path: Path) -> None:
    whole, cut = command.spec(split_size_bytes=1 << 20), command.spec(split_size_bytes=90)
    lines = [
        b"".join(content for _, content in sorted(_run(spec, tmp_path / name, is_sequential=True)[0].items()))
        for name, spec in (("whole", whole), ("cut", cut))
    ]
    assert lines[0] == lines[1]


def _records(name: str, tmp_path: Path, **more: Any) -> tuple[dict[str, str], dict[str, int]]:
    command = next(command for command in COMMANDS if Path(command.file).stem == name)
    spec = command.spec(**more)
    _, counters = _run(spec, tmp_path / "out", is_sequential=False)
    return dict(Result(tmp_path / "out", "text", counters)), counters


def test_words_are_counted(tmp_path: Path) -> None:
    records, _ = _records("wordcount", tmp_path)
    text = " ".join(path.read_text() for path in sorted((ROOT / "examples/data/books").iterdir()))
    assert records == {word: str(text.split().count(word)) for word in set(text.split())}


def test_words_are_indexed(tmp_path: Path) -> None:
    records, _ = _records("inverted_index", tmp_path)
    assert records["harbour"] == "harbour.txt orchard.txt"
    assert records["the"] == "harbour.txt orchard.txt railway.txt"


def test_lines_are_found(tmp_path: Path) -> None:
    command = next(command for command in COMMANDS if "grep" in command.file)
    parts, _ = _run(command.spec(), tmp_path, is_sequential=False)
    lines = b"".join(parts.values()).decode().splitlines()
    assert len(lines) == 3
    assert all(re.search(r"\b[Ss]ea\b", line) for line in lines)


def test_a_log_is_analysed_and_what_is_not_understood_is_counted(tmp_path: Path) -> None:
    records, counters = _records("log_analysis", tmp_path)
    assert counters["lines not understood"] == 1
    statuses = {tuple(json.loads(key)): int(value) for key, value in records.items()}
    assert sum(value for key, value in statuses.items() if key[1] == "status") == 61
    assert sum(value for key, value in statuses.items() if key[1] == "slow") == counters["slow requests"] > 0


def test_links_are_reversed(tmp_path: Path) -> None:
    records, _ = _records("link_graph", tmp_path)
    assert records["orchard.html"] == "harbour.html index.html railway.html"
    assert records["https://example.org/"] == "index.html railway.html"


def test_tables_are_joined(tmp_path: Path) -> None:
    records, _ = _records("join", tmp_path)
    assert len(records) == 40
    assert {value.split("\t")[0] for value in records.values()} >= {
        "Iken, the younger",
        'Jo "the boat" Brand',
        "unknown",
    }


def test_the_top_words_are_ranked(tmp_path: Path) -> None:
    records, _ = _records("top_n", tmp_path)
    counts = [int(value) for value in records.values()]
    assert len(counts) == 10
    assert counts == sorted(counts, reverse=True)
    assert next(iter(records)) == "the"


def test_means_are_exact(tmp_path: Path) -> None:
    records, counters = _records("mean_by_key", tmp_path)
    assert counters == {"missing measurements": 2}
    with (ROOT / "examples/data/weather.csv").open(newline="") as file:
        rows = [(row[0], Fraction(float(row[2]))) for row in list(csv.reader(file))[1:] if row[2]]
    for station in ("harbour", "mountain", "orchard"):
        degrees = [degree for name, degree in rows if name == station]
        assert float(records[station]) == float(sum(degrees) / len(degrees))
