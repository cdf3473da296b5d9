"""From measures on two samples to a prediction: growth, times, slots, memory, and what to set otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.errors import UsageError
from mapreduce.model import GIB, MIB, ClaimTemplate, Code, Input, JobSpec, Output, Storage, Volume, Workers
from mapreduce_cli.planning.measures import Measure, Measures
from mapreduce_cli.planning.measuring import usual_workers
from mapreduce_cli.planning.predicting import Prediction, Shape, advice, predict
from mapreduce_cli.planning.volumes import Room, check_room, room_for


def _measure(scale: float, **other: Any) -> Measure:
    """A sample of `scale` MiB of a job whose runs are half of its input, mapped at 10 MiB/s after 0.1 s."""
    facts: dict[str, Any] = {
        "input_bytes": int(scale * MIB),
        "input_records": int(scale * 10_000),
        "map_s": 0.1 + scale / 10,
        "run_bytes": int(scale * MIB / 2),
        "run_records": int(scale * 1_000),
        "reduce_s": scale / 20,
        "output_bytes": int(scale * MIB / 4),
        "output_records": int(scale * 500),
        "grouping_bytes": int(scale * MIB),
    }
    return Measure(**facts | other)


def _measures(small: Measure | None = None, large: Measure | None = None) -> Measures:
    return Measures(small=small or _measure(1), large=large or _measure(4), base_bytes=40 * MIB)


def _shape(splits: int = 8, split_bytes: int = 16 * MIB, **other: Any) -> Shape:
    facts = {"reduces": 2, "slots": 2, "cpus": 2, "start_s": 1.0, "budget_bytes": 256 * MIB}
    return Shape(split_bytes=[split_bytes] * splits, **facts | other)


def test_what_grows_with_the_input_is_extended_to_all_of_it() -> None:
    prediction = predict(_measures(), _shape())
    assert prediction.maps == 8
    assert prediction.map_s == pytest.approx(0.1 + 1.6, abs=0.01)
    assert prediction.maps_s == pytest.approx(4 * 1.7, abs=0.05), "eight maps in four waves on two slots"
    assert prediction.run_bytes == pytest.approx(64 * MIB, rel=0.01)
    assert prediction.output_bytes == pytest.approx(32 * MIB, rel=0.01)
    assert prediction.reduces_s == pytest.approx(3.2, rel=0.02), "two at once"
    assert prediction.total_s == pytest.approx(1 + prediction.maps_s + prediction.reduces_s)
    assert prediction.slot_bytes == 56 * MIB


def test_keys_that_come_again_let_runs_grow_with_a_root_of_the_input() -> None:
    """Four times the text with twice the words: sixteen times the text has four times the words."""
    large = _measure(4, run_bytes=MIB, output_bytes=MIB // 2)
    prediction = predict(_measures(large=large), _shape(splits=1, split_bytes=64 * MIB))
    assert prediction.run_bytes == pytest.approx(4 * MIB, rel=0.01)
    assert prediction.output_bytes == pytest.approx(2 * MIB, rel=0.01)


def test_output_never_shrinks_nor_outgrows_its_input() -> None:
    fewer = predict(_measures(large=_measure(4, output_bytes=1_000)), _shape())
    assert fewer.output_bytes == 1_000
    more = predict(_measures(small=_measure(1, output_bytes=1_000)), _shape())
    assert more.output_bytes == pytest.approx(32 * MIB, rel=0.01)


def test_one_sample_is_taken_as_typical_for_all() -> None:
    one = _measure(1)
    prediction = predict(_measures(one, one), _shape())
    assert prediction.run_bytes == pytest.approx(64 * MIB, rel=0.01)


def test_more_slots_than_cpus_are_no_faster() -> None:
    two, eight = predict(_measures(), _shape()), predict(_measures(), _shape(slots=8))
    assert eight.maps_s == pytest.approx(two.maps_s, rel=0.01)
    assert predict(_measures(), _shape(slots=8, cpus=8)).maps_s < two.maps_s / 3


def test_a_map_beyond_its_budget_spills_and_stays_within_it() -> None:
    prediction = predict(_measures(), _shape(split_bytes=1 * GIB, budget_bytes=100 * MIB))
    assert prediction.spills == 10
    assert prediction.slot_bytes == 240 * MIB


def test_a_map_only_job_has_neither_runs_nor_reduces() -> None:
    none = {"run_bytes": 0, "reduce_s": 0.0, "grouping_bytes": 0}
    prediction = predict(_measures(_measure(1, **none), _measure(4, **none)), _shape(reduces=0))
    assert (prediction.run_bytes, prediction.reduces_s, prediction.reduce_s) == (0, 0.0, 0.0)
    assert prediction.output_bytes == pytest.approx(32 * MIB, rel=0.01)


def test_an_empty_input_is_no_reason_to_fail() -> None:
    prediction = predict(_measures(), _shape(splits=0))
    assert (prediction.maps, prediction.maps_s, prediction.run_bytes) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        pytest.param(_shape(splits=200, split_bytes=64 * MIB), "--reducers 50:", id="large partitions"),
        pytest.param(_shape(splits=8, split_bytes=64 * MIB, reduces=1, slots=8, cpus=8), "--reducers 8:", id="idle"),
        pytest.param(_shape(splits=1, split_bytes=MIB, reduces=100), "--reducers 2:", id="crumbs"),
        pytest.param(_shape(splits=4, split_bytes=1 * GIB, reduces=40), "--split-size 300MiB:", id="long maps"),
        pytest.param(_shape(splits=1, split_bytes=64 * MIB, slots=4, cpus=4), "--split-size 16MiB:", id="few maps"),
    ],
)
def test_what_to_set_otherwise_is_said_with_its_reason(shape: Shape, said: str) -> None:
    sentences = advice(predict(_measures(), shape), shape, max(shape.split_bytes))
    assert any(sentence.startswith(said) for sentence in sentences), sentences


def test_a_good_plan_needs_no_advice() -> None:
    assert advice(predict(_measures(), _shape()), _shape(), 16 * MIB) == []


def test_a_volume_that_would_be_filled_is_refused_with_what_helps() -> None:
    prediction = predict(_measures(), _shape())
    check_room(prediction, Room("the volume", 200 * MIB), is_here=True)
    with pytest.raises(UsageError, match=r"the volume is too small: 96.0 MiB of runs and output are predicted"):
        check_room(prediction, Room("the volume", 90 * MIB), is_here=True)
    check_room(prediction, Room("the volume", 90 * MIB), is_here=False)  # output lies elsewhere there


def test_room_is_what_is_free_here_and_what_a_claim_asks_for_there(tmp_path: Path) -> None:
    spec = JobSpec(code=Code(module="m"), inputs=(Input(uri="a"),), output=Output(uri=str(tmp_path / "not" / "yet")))
    here = room_for(spec, asked_bytes=None, is_here=True)
    assert here is not None
    assert here.where == f"the volume of {tmp_path}"
    assert room_for(spec, asked_bytes=5, is_here=True) == Room("the volume", 5)
    assert room_for(spec, asked_bytes=None, is_here=False) == Room("the claim of 1Gi for runs", GIB)
    runs = Storage(runs=Volume(claim_template=ClaimTemplate(size="20Mi")))
    mine = JobSpec(code=spec.code, inputs=spec.inputs, output=spec.output, storage=runs)
    assert room_for(mine, asked_bytes=None, is_here=False) == Room("the claim of 20Mi for runs", 20 * MIB)
    named = Storage(runs=Volume(claim_name="big"))
    theirs = JobSpec(code=spec.code, inputs=spec.inputs, output=spec.output, storage=named)
    assert room_for(theirs, asked_bytes=None, is_here=False) is None


def test_a_prediction_is_one_of_whole_numbers_of_bytes() -> None:
    prediction = predict(_measures(), _shape(splits=3, split_bytes=12_345_677))
    assert isinstance(prediction, Prediction)
    assert type(prediction.volume_bytes) is int


@pytest.mark.parametrize(
    ("asked", "is_here", "workers"),
    [(2, True, 8), (5, True, 5), (2, False, 2), (5, False, 5), (0, False, 2)],
)
def test_a_plan_is_for_the_workers_that_the_run_would_have(asked: int, is_here: bool, workers: int) -> None:
    spec = JobSpec(code=Code(inline="x"), inputs=(Input(uri="in"),), output=Output(uri="out"))
    spec = msgspec.structs.replace(spec, workers=Workers(replicas=asked))
    assert usual_workers(spec, 8, is_here=is_here) == workers
