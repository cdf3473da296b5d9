"""The manifest beside every example: the same code, what kubectl takes, and the same bytes here as by the oracle."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mapreduce import manifest
from mapreduce.bundle import load_job
from mapreduce.describe import describe_here
from mapreduce.inlineinputs import with_files
from mapreduce.jobspec import Overrides, build_spec
from mapreduce.loading import CodeSource
from mapreduce.manifest import resource_name
from mapreduce.model import JobSpec
from mapreduce.sequential import run_sequential
from mapreduce.userjob import Names
from mapreduce.volumes import on_this_machine
from tests.support.mrruns import mr, parts

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BY_NAME = [pytest.param(path, id=path.stem) for path in EXAMPLES]


@pytest.mark.parametrize("example", BY_NAME)
def test_every_example_has_a_manifest_with_the_same_code(example: Path) -> None:
    written = manifest.from_file(example.with_suffix(".yaml"))
    assert written.spec.code.inline == example.read_text(encoding="utf-8")
    assert written.metadata.name == resource_name(example.stem)


@pytest.mark.parametrize("example", BY_NAME)
def test_every_manifest_brings_a_claim_for_its_output(example: Path) -> None:
    output = manifest.from_file(example.with_suffix(".yaml")).spec.output
    assert output.uri == f"pvc://results/{resource_name(example.stem)}"
    assert output.claim_template is not None


@pytest.mark.parametrize("example", BY_NAME)
def test_the_command_in_a_manifest_gives_here_what_the_oracle_gives(example: Path, tmp_path: Path) -> None:
    words = _command(example)
    mr(*words, cwd=tmp_path)
    spec = manifest.from_file(example.with_suffix(".yaml")).spec
    claims = {name: ROOT / folder for name, _, folder in (word.partition("=") for word in words if "=" in word)}
    expected = _oracle(example, spec, claims, tmp_path)
    assert parts(tmp_path / "out" / resource_name(example.stem)) == expected


def test_the_flagship_is_cut_into_more_than_one_map(tmp_path: Path) -> None:
    run = mr(*_command(ROOT / "examples" / "wordcount.py"), cwd=tmp_path)
    assert "in 2 maps, 2 reduces" in run.stdout + run.stderr


def _command(example: Path) -> list[str]:
    """The words after `mr` of the command in a manifest's head, with files of the tree by their whole path."""
    text = example.with_suffix(".yaml").read_text(encoding="utf-8")
    found = re.findall(r"^#     mr (run .*)$", text, re.MULTILINE)
    assert len(found) == 1
    return [re.sub(r"(^|=)examples/", rf"\g<1>{ROOT}/examples/", word) for word in shlex.split(found[0])]


def _oracle(example: Path, spec: JobSpec, claims: dict[str, Path], folder: Path) -> dict[str, bytes]:
    source = CodeSource(example)
    description = describe_here(source, Names(spec.mapper, spec.reducer, spec.combiner))
    built = build_spec(description, Overrides(), source=example, manifest=spec, base=ROOT)
    here = with_files(on_this_machine(built, {**claims, "results": folder}), folder / "texts")
    run_sequential(here, load_job(source, here, name="example"), folder / "oracle")
    return parts(folder / "oracle")
