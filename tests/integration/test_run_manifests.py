"""Manifests as a cluster takes them, run on this machine: folders for claims, inputs inline, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.mrruns import mr, names_below, parts

COUNT = """
def mapper(line):
    for word in line.split():
        yield word, 1
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    for name, text in {"a.txt": "to be or\n" * 90, "b.txt": "not to be\n" * 70}.items():
        (tmp_path / "shelf" / name).write_text(text)
    (tmp_path / "disk").mkdir()
    return tmp_path


def manifest(work: Path, **more: Any) -> str:
    """Writes `job.yaml`."""
    spec = {
        "code": {"inline": COUNT},
        "inputs": [{"uri": "pvc://books/*.txt"}, {"inline": "to see\nto be\n"}],
        "output": {"uri": "pvc://results/deep/out"},
        "reducer": "sum",
        "reducers": 2,
        "splitSizeBytes": 200,
        **more,
    }
    job = {
        "apiVersion": "mapreduce.dev/v1alpha1",
        "kind": "MapReduceJob",
        "metadata": {"name": "words"},
        "spec": spec,
    }
    (work / "job.yaml").write_text(yaml.safe_dump(job))
    return "job.yaml"


CLAIMS = ("--claim", "books=shelf", "--claim", "results=disk")


def test_a_manifest_for_a_cluster_runs_here_with_folders_for_its_claims(work: Path) -> None:
    job = manifest(work)
    mr("run", job, *CLAIMS, "--workers", "2", "--no-page", cwd=work)
    out = work / "disk" / "deep" / "out"
    for mode in ("--sequential", "--inline"):
        mr("run", job, *CLAIMS, "-o", f"out{mode}", mode, cwd=work)
        assert parts(out) == parts(work / f"out{mode}")
    lines = b"".join(parts(out).values()).decode().splitlines()
    assert sorted(lines) == ["be\t161", "not\t70", "or\t90", "see\t1", "to\t162"]
    assert not [name for name in names_below(out / "_mapreduce") if "inline-" in name]


def test_the_text_of_an_input_is_part_of_what_a_result_is_made_from(work: Path) -> None:
    job = manifest(work, inputs=[{"inline": "one\n"}])
    mr("run", job, *CLAIMS, "--workers", "1", "--no-page", cwd=work)
    record = work / "disk" / "deep" / "out" / "_mapreduce" / "owner.json"
    first = json.loads(record.read_bytes())["inputs_digest"]
    manifest(work, inputs=[{"inline": "two\n"}])
    mr("run", job, *CLAIMS, "--workers", "1", "--no-page", "--overwrite", cwd=work)
    assert json.loads(record.read_bytes())["inputs_digest"] != first


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "spec.output.uri: pvc://results/deep/out"),
        ({"output": {"uri": "out"}}, "mr run --claim books=FOLDER"),
        ({"output": {"uri": "out"}, "inputs": [{"uri": "configmap://words/x"}]}, "spec.inputs[0].uri"),
        ({"code": {"configMapRef": {"name": "jobs"}}}, "spec.code.configMapRef"),
        (
            {"output": {"uri": "out"}, "inputs": [{"uri": "https://h/x", "secretRef": {"name": "key"}}]},
            "no Secrets on this machine",
        ),
    ],
)
def test_what_only_a_cluster_has_is_refused_in_words_and_leaves_nothing(
    work: Path, change: dict[str, Any], told: str
) -> None:
    before = names_below(work)
    done = mr("run", manifest(work, **change), "--no-page", cwd=work, check=2)
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert names_below(work) == sorted([*before, "job.yaml"])


def test_what_stands_for_a_claim_is_a_folder(work: Path) -> None:
    done = mr("run", manifest(work), "--claim", "books=shelf/a.txt", cwd=work, check=2)
    assert "no folder" in done.stderr
