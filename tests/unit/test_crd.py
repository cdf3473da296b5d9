"""The resource's definition: generated from the model, structural, described and bounded everywhere, and small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
import yaml
from msgspec import Meta

from mapreduce import podjob
from mapreduce.model import JobSpec, Workers
from mapreduce.scheduling import decide_attempts
from mapreduce_operator.crd.flattening import Schema, described_fields, schema_of
from mapreduce_operator.crd.resource import definition, object_schema, render
from mapreduce_operator.crd.rules import FROZEN, ROOT_RULES, RULES, Rule
from mapreduce_operator.reasons import CONDITIONS, REASONS, reason
from tests.support.crdjobs import DEFINITION
from tests.support.tree import ROOT, code_files
from tools.draw_defaults import described_fields as fields_of_model

SCHEMA = object_schema()
FIELDS = [pytest.param(path, schema, id=path) for path, schema in described_fields(SCHEMA)]
KEYWORDS = {
    "description", "type", "format", "properties", "required", "items", "additionalProperties", "enum", "default",
    "pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip
ShortName = Annotated[str, Meta(max_length=9, description="Inner.")]
OF_KUBERNETES = {"apiVersion", "kind", "metadata"}


def test_the_file_is_what_the_model_says() -> None:
    assert DEFINITION.read_text(encoding="utf-8") == render(), "run python -m mapreduce_operator.crd > crds/..."


def test_the_file_is_below_64_kib() -> None:
    assert DEFINITION.stat().st_size < 64 << 10


def test_every_field_of_the_specification_is_in_the_schema_and_no_other() -> None:
    told = {path for path, _ in described_fields(SCHEMA["properties"]["spec"])}
    assert told == {path for path, *_ in fields_of_model(JobSpec)}


@pytest.mark.parametrize(("path", "schema"), FIELDS)
def test_every_field_is_described(path: str, schema: Schema) -> None:
    assert path in OF_KUBERNETES or schema["description"].endswith(".")


@pytest.mark.parametrize(("path", "schema"), FIELDS)
def test_every_value_has_one_type_and_a_bound(path: str, schema: Schema) -> None:
    for below in _with_entries(schema):
        assert below.keys() <= KEYWORDS
        bounds = {
            "string": below.keys() & {"maxLength", "enum"} or path in OF_KUBERNETES,
            "integer": below.keys() >= {"minimum", "maximum"},
            "array": "maxItems" in below and "x-kubernetes-list-type" in below,
            "object": "maxProperties" in below or "additionalProperties" not in below,
            "boolean": True,
        }
        assert bounds[below["type"]]


def test_only_pod_templates_are_opaque() -> None:
    opaque = {path for path, schema in described_fields(SCHEMA) if "x-kubernetes-preserve-unknown-fields" in schema}
    assert opaque == {"spec.workers.podTemplate", "spec.coordinator.podTemplate"}


def test_the_server_writes_the_number_of_workers_and_nothing_else() -> None:
    written = {path: schema["default"] for path, schema in described_fields(SCHEMA) if "default" in schema}
    assert written == {"spec.workers": {}, "spec.workers.replicas": Workers().replicas}


@pytest.mark.parametrize("rule", [*ROOT_RULES, *(rule for rules in RULES.values() for rule in rules)])
def test_every_rule_names_its_field(rule: Rule) -> None:
    name = rule.field.rpartition(".")[2]
    assert name in rule.message or not name


def test_every_rules_field_exists_where_the_rule_is() -> None:
    for path, schema in [("", SCHEMA), *described_fields(SCHEMA)]:
        for below in _with_entries(schema):
            for rule in below.get("x-kubernetes-validations", ()):
                place: Any = below
                for step in filter(None, rule.get("fieldPath", "").split(".")):
                    place = place["properties"][step]
                assert place, path


def test_frozen_fields_are_fields_of_the_specification() -> None:
    assert set(FROZEN) < {field.encode_name for field in msgspec.structs.fields(JobSpec)}


def test_paths_of_columns_selectors_and_scale_lead_to_fields() -> None:
    version = definition()["spec"]["versions"][0]
    known = {f".{path}" for path, _ in described_fields(SCHEMA)} | {".metadata.creationTimestamp"}
    used = [
        *(column["jsonPath"] for column in version["additionalPrinterColumns"]),
        *(field["jsonPath"] for field in version["selectableFields"]),
        *version["subresources"]["scale"].values(),
    ]
    assert set(used) - known == set()


def test_a_type_without_a_structural_schema_is_refused() -> None:
    class Odd(msgspec.Struct):
        """Odd."""

        value: int | str = 0

    with pytest.raises(TypeError, match="a value has one type"):
        schema_of(Odd)


def test_the_outer_annotation_goes_before_the_inner_and_none_means_absent() -> None:
    class Small(msgspec.Struct):
        """Small."""

        plain: Annotated[ShortName, Meta(description="Outer.")] | None = None

    assert schema_of(Small)["properties"]["plain"] == {"description": "Outer.", "type": "string", "maxLength": 9}
    assert "required" not in schema_of(Small)


def test_patterns_are_written_as_go_reads_them() -> None:
    assert r"\Z" not in render()


def test_the_header_says_how_the_file_is_made() -> None:
    text = DEFINITION.read_text(encoding="utf-8")
    assert text.startswith("# Written by `python -m mapreduce_operator.crd`")
    assert yaml.safe_load(text) == definition()


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_is_one_word_with_a_sentence_and_maybe_a_fix(name: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
    assert reason(name).sentence.endswith(".")
    assert not reason(name).fix or reason(name).fix.endswith(".")


def test_every_reason_is_raised_somewhere() -> None:
    tables = {"reasons.py", "remedies.py"}
    texts = [path.read_text(encoding="utf-8") for path in code_files() if path.name not in tables]
    named = {name for text in texts for name in re.findall(r'"([A-Z][A-Za-z]+)"', text)}
    assert REASONS.keys() - named == set()


def test_every_reason_that_a_coordinator_reports_is_known() -> None:
    pattern = (
        r"""(?:Notice\(\s*reason=|leave_message\([^,]*, reason or |JobFailed\(\s*)"([A-Za-z]+)"|"(WAL\w+)", found"""
    )
    texts = [
        path.read_text(encoding="utf-8") for path in code_files() if path.is_relative_to(ROOT / "src" / "mapreduce")
    ]
    named = {name for text in texts for pair in re.findall(pattern, text) for name in pair if name}
    assert {"SlowDisk", "WALCorrupt", "PrepareFailed", "CoordinatorFailed", "WorkersFailed"} <= named
    assert named - REASONS.keys() == set()


def test_every_reason_of_a_failed_task_or_a_start_that_can_never_work_is_known() -> None:
    reasons = {*decide_attempts.REASONS.values(), *podjob._REASONS.values()}
    assert reasons - REASONS.keys() == set()


def test_a_reason_of_a_newer_coordinator_is_shown_too() -> None:
    assert reason("BrandNew").name == "BrandNew"


def test_every_condition_is_described_in_the_schema() -> None:
    text = dict(described_fields(SCHEMA))["status.conditions[].type"]["description"]
    assert [name for name in CONDITIONS if name not in text] == []


def _with_entries(schema: Schema) -> Iterator[Schema]:
    yield schema
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _with_entries(schema[name])
