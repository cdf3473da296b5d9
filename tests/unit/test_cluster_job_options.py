"""Options of a job in a cluster: what they write into its manifest, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mapreduce.errors import UsageError
from mapreduce_cli.commands import manifest, submit

CODE = "def mapper(line):\n    yield line, 1\n\nreducer = 'sum'\n"


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wc.py").write_text(CODE)


def spec_of(*options: str) -> dict[str, Any]:
    arguments = ["wc.py", "pvc://books/", "-o", "pvc://results/wc", *options]
    done = CliRunner().invoke(manifest.command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    spec: dict[str, Any] = yaml.safe_load(done.stdout)["spec"]
    return spec


def test_only_what_was_asked_for_is_written() -> None:
    assert set(spec_of()) == {"code", "inputs", "output"}


def test_claims_are_made_of_the_sizes_that_were_asked_for() -> None:
    spec = spec_of("--output-size", "10Gi", "--runs-size", "50GiB", "--storage-class", "fast")
    assert spec["output"]["claimTemplate"] == {"size": "10Gi", "storageClassName": "fast"}
    assert spec["storage"]["runs"]["claimTemplate"] == {"size": "50Gi", "storageClassName": "fast"}


def test_the_time_to_live_is_written_in_seconds() -> None:
    assert spec_of("--ttl", "2h")["ttlSecondsAfterFinished"] == 7_200


def test_a_template_of_the_manifest_keeps_what_was_not_asked_for() -> None:
    spec = spec_of("--output-size", "10Gi")
    spec["output"]["claimTemplate"]["accessMode"] = "ReadWriteMany"
    made = {
        "apiVersion": "mapreduce.dev/v1alpha1",
        "kind": "MapReduceJob",
        "metadata": {"name": "wc"},
        "spec": spec,
    }
    Path("job.yaml").write_text(yaml.safe_dump(made))
    done = CliRunner().invoke(manifest.command, ["job.yaml", "--output-size", "20Gi"], catch_exceptions=False)
    assert yaml.safe_load(done.stdout)["spec"]["output"]["claimTemplate"] == {
        "size": "20Gi",
        "accessMode": "ReadWriteMany",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--storage-class", "fast"], "give --output-size or --runs-size too"),
        (["--runs-size", "1Gi", "--shuffle", "Peer"], "--runs-size is for shuffle Shared"),
    ],
)
def test_what_does_not_go_together_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_of(*options)


@pytest.mark.parametrize("text", ["10 Gi", "10G", "0", "1.5Gi", "ten", "Gi", ""])
def test_a_size_that_no_claim_can_have_is_refused_with_an_example(text: str) -> None:
    done = CliRunner().invoke(manifest.command, ["wc.py", "pvc://a/", "-o", "pvc://b/c", "--output-size", text])
    assert done.exit_code == 2
    assert "write it like 500Mi or 10Gi" in done.output


@pytest.mark.parametrize("option", [["--output-size", "1Gi"], ["--ttl", "1h"], ["--image", "x"], ["--workers", "2"]])
def test_a_coordinator_outside_clusters_refuses_them(option: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{option[0]} means something in a cluster only"):
        CliRunner().invoke(
            submit.command, ["wc.py", "books/", "-o", "out", "--dir", "state", *option], catch_exceptions=False
        )
