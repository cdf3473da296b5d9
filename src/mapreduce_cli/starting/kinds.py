"""The kinds of records and of computations that a new job can begin with, and the code for each pair. Pure text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Records = Literal["lines", "jsonl", "csv", "files"]
Compute = Literal["count", "sum", "mean", "group", "filter"]
Where = Literal["here", "cluster"]

RECORDS: Final[dict[Records, str]] = {
    "lines": "lines of text",
    "jsonl": "JSON, one value a line",
    "csv": "rows of CSV",
    "files": "whole files",
}
COMPUTE: Final[dict[Compute, str]] = {
    "count": "how often each key occurs",
    "sum": "the sum of a number for each key",
    "mean": "the mean of a number for each key",
    "group": "all that belongs to each key",
    "filter": "the records that match a pattern",
}
WHERE: Final[dict[Where, str]] = {"here": "on this machine", "cluster": "in a Kubernetes cluster, and here to try"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of records: how a mapper takes them apart, and a few of them to begin with."""

    parameters: str
    loop: str
    """Around the yield; "" where a record gives one pair."""
    key: str
    number: str
    group_key: str
    item: str
    match: str
    """What the pattern of `filter` is looked for in."""
    matched: str
    """The pair that `filter` yields."""
    sample_name: str
    sample: str
    test_records: str
    """A Python expression."""


KINDS: Final[dict[Records, Kind]] = {
    "lines": Kind(
        parameters="line",
        loop="for word in line.split():",
        key="word",
        number="len(word)",
        group_key="word[0]",
        item="word",
        match="line",
        matched="line, len(line)",
        sample_name="sample.txt",
        sample="a rose is a rose\nis a rose is a tulip\n",
        test_records='["a rose is", "a rose"]',
    ),
    "jsonl": Kind(
        parameters="record",
        loop="",
        key='record["kind"]',
        number='record["size"]',
        group_key='record["kind"]',
        item='record["name"]',
        match='record["name"]',
        matched='record["name"], record["size"]',
        sample_name="sample.jsonl",
        sample='{"kind": "flower", "name": "rose", "size": 3}\n'
        '{"kind": "flower", "name": "tulip", "size": 2}\n'
        '{"kind": "tree", "name": "oak", "size": 30}\n',
        test_records='[{"kind": "flower", "name": "rose", "size": 3}, {"kind": "flower", "name": "tulip", "size": 2}]',
    ),
    "csv": Kind(
        parameters="row",
        loop="",
        key="row[0]",
        number="int(row[2])",
        group_key="row[0]",
        item="row[1]",
        match="row[1]",
        matched="row[1], row[2]",
        sample_name="sample.csv",
        sample="flower,rose,3\nflower,tulip,2\ntree,oak,30\n",
        test_records='[["flower", "rose", "3"], ["flower", "tulip", "2"]]',
    ),
    "files": Kind(
        parameters="path, content",
        loop="for word in content.split():",
        key="word",
        number="len(word)",
        group_key="word",
        item='path.rpartition("/")[2]',
        match="content",
        matched='path.rpartition("/")[2], len(content)',
        sample_name="sample.txt",
        sample="a rose is a rose\nis a rose is a tulip\n",
        test_records='{"one.txt": "a rose is", "two.txt": "a rose"}',
    ),
}

_REDUCERS: Final[dict[Compute, str]] = {
    "count": "def reducer(key, values):\n    yield key, sum(values)",
    "sum": "def reducer(key, values):\n    yield key, sum(values)",
    "group": "def reducer(key, values):\n    yield key, sorted(set(values))",
}
_PATTERN: Final = "rose"


def code_of(name: str, records: Records, compute: Compute) -> str:
    """The job's file."""
    options = [f'"{name}"']
    options += [f'format="{records}"'] if records != "lines" else []
    options += ['reducer="mean"'] if compute == "mean" else []
    options += [f'args={{"pattern": "{_PATTERN}"}}'] if compute == "filter" else []
    kind = RECORDS[records]
    parts = [
        f'"""{kind[0].upper()}{kind[1:]}: {COMPUTE[compute]}. The commands are in README.md."""',
        "from mapreduce import job",
        f"this = job({', '.join(options)})",
    ]
    text = "\n\n".join(parts) + f"\n\n\n@this.mapper\n{_mapper(records, compute)}\n"
    reducer = _REDUCERS.get(compute)
    if reducer is not None:
        # Adding up may happen in parts; collecting in sorted order may not, as its values are no longer single ones.
        decorator = "@this.reducer" if compute == "group" else "@this.reducer(combiner=True)"
        text += f"\n\n{decorator}\n{reducer}\n"
    return text


def _mapper(records: Records, compute: Compute) -> str:
    kind = KINDS[records]
    if compute == "filter":
        return (
            f"def mapper({kind.parameters}, ctx):\n"
            f'    if ctx.args["pattern"] in {kind.match}:\n'
            f"        yield {kind.matched}"
        )
    pairs = {
        "count": f"{kind.key}, 1",
        "sum": f"{kind.key}, {kind.number}",
        "mean": f"{kind.key}, {kind.number}",
        "group": f"{kind.group_key}, {kind.item}",
    }
    body = [f"{kind.loop}", f"    yield {pairs[compute]}"] if kind.loop else [f"yield {pairs[compute]}"]
    return f"def mapper({kind.parameters}):\n" + "\n".join(f"    {line}" for line in body)
