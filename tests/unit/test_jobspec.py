"""Precedence of command line, manifest, code and defaults, and the checks of the whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mapreduce.errors import InvalidJobSpec
from mapreduce.jobspec import Description, Options, Overrides, build_spec, check_spec
from mapreduce.model import Code, Input, JobSpec, Output, Storage, Workers

DECLARED = Description(
    name="words",
    mapper="words",
    reducer="total",
    combiner="total",
    options=Options(args={"a": "code", "b": "code"}, format="csv", output_format="jsonl", reducers=7, max_attempts=9),
)
MANIFEST = JobSpec(
    code=Code(inline="..."),
    inputs=(Input(uri="m"),),
    output=Output(uri="mo"),
    reducers=5,
    args={"b": "manifest", "c": "manifest"},
    workers=Workers(replicas=3, slots=2),
    storage=Storage(shuffle="Peer"),
    lease_seconds=11,
)
ASKED = Overrides(inputs=("c1", "c2"), output="co", reducers=2, args={"c": "line"}, replicas=4, retain_runs="Always")
BARE = Overrides(inputs=("in",), output="out")
PLAIN = Description(name="plain", reducer="reducer")


def test_the_command_line_goes_before_the_manifest_before_the_code_before_defaults() -> None:
    spec = build_spec(DECLARED, ASKED, manifest=MANIFEST)
    assert spec.code == MANIFEST.code
    assert spec.inputs == (Input(uri="c1", format="csv"), Input(uri="c2", format="csv"))
    assert spec.output == Output(uri="co", format="jsonl")
    assert (spec.mapper, spec.reducer, spec.combiner, spec.reducers) == ("words", "total", "total", 2)
    assert spec.args == {"a": "code", "b": "manifest", "c": "line"}
    assert spec.workers == Workers(replicas=4, slots=2)
    assert spec.storage == Storage(shuffle="Peer", retain_runs="Always")
    assert (spec.max_attempts, spec.lease_seconds, spec.task_timeout_seconds) == (9, 11, 3_600)


def test_what_nobody_asks_for_has_its_default() -> None:
    spec = build_spec(PLAIN, BARE, source=Path("/job.py"))
    expected = JobSpec(
        code=Code(volume_path="/job.py"), inputs=(Input(uri="in"),), output=Output(uri="out"), reducer="reducer"
    )
    assert spec == expected


def test_a_manifest_without_overrides_keeps_its_inputs_and_output() -> None:
    spec = build_spec(DECLARED, Overrides(), manifest=MANIFEST)
    assert (spec.inputs[0].uri, spec.output.uri, spec.reducers) == ("m", "mo", 5)
    assert build_spec(DECLARED, Overrides(format="lines"), manifest=MANIFEST).inputs[0].format == "lines"


def test_formats_of_a_manifest_hold_for_inputs_of_the_command_line_when_they_agree() -> None:
    manifest = msgspec.structs.replace(
        MANIFEST, inputs=(Input(uri="a", format="jsonl"), Input(uri="b", format="jsonl"))
    )
    assert {source.format for source in build_spec(PLAIN, BARE, manifest=manifest).inputs} == {"jsonl"}
    mixed = msgspec.structs.replace(MANIFEST, inputs=(Input(uri="a", format="jsonl"), Input(uri="b", format="csv")))
    assert {source.format for source in build_spec(PLAIN, BARE, manifest=mixed).inputs} == {"lines"}


@pytest.mark.parametrize(
    ("reducer", "asked", "expected"),
    [
        (None, None, (None, 0)),
        (None, 0, (None, 0)),
        (None, 3, ("identity", 3)),
        ("reducer", None, ("reducer", None)),
        ("sum", 3, ("sum", 3)),
        ("reducer", 0, ("reducer", 0)),
    ],
)
def test_without_a_reducer_a_job_is_map_only_unless_it_asks_for_reduce_tasks(
    reducer: str | None, asked: int | None, expected: tuple[str | None, int | None]
) -> None:
    spec = build_spec(
        Description(name="x", reducer=reducer), msgspec.structs.replace(BARE, reducers=asked), source=Path("j.py")
    )
    assert (spec.reducer, spec.reducers) == expected


def test_a_combiner_goes_with_the_reducer_it_was_declared_for() -> None:
    assert build_spec(DECLARED, BARE, source=Path("j")).combiner == "total"
    assert build_spec(DECLARED, msgspec.structs.replace(BARE, reducer="sum"), source=Path("j")).combiner is None


def test_relative_paths_are_resolved_against_a_base_and_urls_are_not() -> None:
    overrides = Overrides(inputs=("./a/*.txt", "/b", "file:///c", "s3://d/e"), output="out/")
    spec = build_spec(PLAIN, overrides, source=Path("j"), base=Path("/base"))
    assert [source.uri for source in spec.inputs] == ["/base/a/*.txt", "/b", "file:///c", "s3://d/e"]
    assert spec.output.uri == "/base/out"
    assert build_spec(PLAIN, overrides, source=Path("j")).inputs[0].uri == "./a/*.txt"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (Overrides(output="o"), "inputs: are not given."),
        (Overrides(inputs=("i",)), "output: is not given."),
        (Overrides(inputs=("i",), output="o", reducers=-1), "spec.reducers: must be at least 0, got the number -1."),
        (Overrides(inputs=("i",), output="o", split_size_bytes=0), "spec.splitSizeBytes: must be at least 1"),
        (Overrides(inputs=("",), output="o"), "spec.inputs[0].uri: must not be empty"),
        (Overrides(inputs=("i",), output="o", slots=999), "spec.workers.slots: must be at most 256"),
        (
            Overrides(inputs=("i",), output="o", name_template="x"),
            "spec.output.nameTemplate: 'x' gives different parts",
        ),
        (Overrides(inputs=("i",), output="o", format="csv", encoding="bytes"), "spec.inputs[0].encoding: bytes"),
    ],
)
def test_a_spec_out_of_bounds_is_refused_by_field(overrides: Overrides, said: str) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        build_spec(PLAIN, overrides, source=Path("j"))
    assert said in str(caught.value)


def test_a_spec_without_code_or_with_two_is_refused() -> None:
    with pytest.raises(InvalidJobSpec, match="code: is not given"):
        build_spec(PLAIN, BARE)
    with pytest.raises(InvalidJobSpec, match="exactly one of inline, configMapRef, module, volumePath"):
        check_spec(msgspec.structs.replace(MANIFEST, code=Code(inline="x", module="y")))
