"""A job's plan: what is stored comes back, split by split, and an altered one is never used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mapreduce.coordinator.plans import Plan, digest, make_plan
from mapreduce.coordinator.store import Store
from mapreduce.errors import InvalidInput, PlanLost
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.protocol.messages import FileRange, Split

SPLITS = [
    Split(input=0, files=(FileRange(path="/in/a", start=0, end=10, size=25, mtime_ns=7),)),
    Split(input=0, files=(FileRange(path="/in/a", start=10, end=25, size=25, mtime_ns=7),)),
    Split(
        input=3,
        files=(
            FileRange(path="/in/b", start=0, end=1, size=1),
            FileRange(path="/in/\udcff", start=0, end=1 << 40, size=1 << 40, mtime_ns=-5),
        ),
    ),
    Split(input=3, files=()),
]


def test_splits_come_back_as_they_were() -> None:
    plan = Plan.of(SPLITS)
    assert [plan.split(index) for index in range(plan.split_count)] == SPLITS
    assert plan.input_bytes == 26 + (1 << 40)
    assert plan.paths == ["/in/a", "/in/b", "/in/\udcff"], "a path is stored once"


def test_a_plan_without_splits_is_one() -> None:
    assert Plan.of([]).split_count == 0
    assert Plan.decode(Plan.of([]).encode()).split_count == 0


def test_the_same_plan_has_the_same_bytes_and_survives_them() -> None:
    storable = SPLITS[:2]
    content = Plan.of(storable).encode()
    assert content == Plan.of(storable).encode()
    assert [Plan.decode(content).split(index) for index in range(2)] == storable
    assert len(digest(content)) == 64


def test_a_plan_of_another_format_is_refused() -> None:
    raw = msgspec.msgpack.decode(Plan.of(SPLITS[:1]).encode())
    with pytest.raises(msgspec.DecodeError, match="format 99"):
        Plan.decode(msgspec.msgpack.encode({**raw, "format": 99}))


def test_a_stored_plan_is_checked_against_its_address(tmp_path: Path) -> None:
    store = Store(tmp_path)
    address = store.put_plan(4, Plan.of(SPLITS[:2]))
    assert store.plan(4, address).split(1) == SPLITS[1]
    path = store.job_folder(4) / "plan.msgpack"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(PlanLost, match="altered"):
        store.plan(4, address)
    path.unlink()
    with pytest.raises(PlanLost, match="is gone"):
        store.plan(4, address)


def test_map_index_follows_the_order_of_inputs(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_bytes(b"line\n" * 10)
    inputs = tuple(Input(uri=str(tmp_path / name)) for name in ("b", "a"))
    spec = JobSpec(code=Code(inline="-"), inputs=inputs, output=Output(uri="out"), split_size_bytes=20)
    plan = make_plan(spec)
    paths = [Path(part.path).parent.name for index in range(plan.split_count) for part in plan.split(index).files]
    assert paths == sorted(paths, reverse=True)
    assert plan.input_bytes == 100


def test_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    spec = JobSpec(code=Code(inline="-"), inputs=(Input(uri=str(tmp_path / "no")),), output=Output(uri="out"))
    with pytest.raises(InvalidInput):
        make_plan(spec)
