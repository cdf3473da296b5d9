"""The command line against a real API server: what it writes is accepted, and what it asks for is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from cluster import gobuild
from cluster.controlplane import ControlPlane
from mapreduce_cli import main as cli
from tests.support.clustercommands import COMPLETE, Ran, condition, when_watched
from tests.support.kubeapi import KubeApi, path_of

WORD_COUNT = "def mapper(line):\n    yield line, 1\n\ndef reducer(word, counts):\n    yield word, sum(counts)\n"

Mr = Callable[..., Ran]


@pytest.fixture
def mr(
    plane: ControlPlane,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Mr:
    """Run a command whose environment names the server and the test's namespace."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    monkeypatch.setenv("MR_NAMESPACE", namespace)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("wc.py").write_text(WORD_COUNT)

    def run(*arguments: object, code: int = 0) -> Ran:
        capsys.readouterr()
        ended = cli.invoke([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert ended == code, told.err
        return Ran(ended, told.out, told.err)

    return run


def submit(mr: Mr, *options: str, name: str = "wc") -> str:
    """Submit the word count; its name as it was printed."""
    return mr("submit", "wc.py", "pvc://books/", "-o", f"pvc://results/{name}", "--name", name, *options).out.strip()


def set_status(api: KubeApi, namespace: str, name: str, status: Mapping[str, object]) -> None:
    """Write a status, as the operator would."""
    job = api.get("mapreducejobs", namespace, name)
    assert job is not None
    job["status"] = status
    api.ask("PUT", path_of("mapreducejobs", namespace, name) + "/status", job)


def test_a_submitted_job_is_there_listed_and_read_back(mr: Mr, api: KubeApi, namespace: str) -> None:
    assert submit(mr, "--workers", "3", "--reducers", "4") == "mapreducejob.mapreduce.dev/wc"
    job = api.get("mapreducejobs", namespace, "wc")
    assert job is not None
    assert (job["spec"]["workers"]["replicas"], job["spec"]["reducers"]) == (3, 4)
    assert mr("ls", "-o", "name").out == "mapreducejob.mapreduce.dev/wc\n"
    assert mr("ls").out.splitlines()[1].split()[:2] == ["wc", "Pending"]
    shown = yaml.safe_load(mr("ls", "wc", "-o", "yaml").out)
    assert shown["metadata"]["uid"] == job["metadata"]["uid"]
    assert namespace in mr("ls", "-A").out


def test_what_manifest_prints_is_accepted_by_kubectl_and_equals_what_submit_creates(
    mr: Mr, plane: ControlPlane, api: KubeApi, namespace: str
) -> None:
    arguments = (
        "pvc://books/*.txt",
        "-o",
        "pvc://results/a",
        "--arg",
        "least=2",
        "--task-timeout",
        "5m",
        "--shuffle",
        "Peer",
    )
    text = mr("manifest", "wc.py", *arguments, "--name", "by-kubectl").out
    plane.kubectl("apply", "-n", namespace, "-f", "-", given=text)
    mr("submit", "wc.py", *arguments, "--name", "by-mr")
    one, other = (api.get("mapreducejobs", namespace, name) for name in ("by-kubectl", "by-mr"))
    assert one is not None
    assert other is not None
    assert one["spec"] == other["spec"]


def test_the_server_refuses_a_field_that_a_manifest_gets_wrong_and_mr_says_which(mr: Mr) -> None:
    Path("job.yaml").write_text(mr("manifest", "wc.py", "pvc://books/", "-o", "pvc://results/wc").out)
    ran = mr("submit", "job.yaml", "--name-template", "same", code=2)
    assert "nameTemplate" in ran.err


def test_suspend_resume_and_scale_change_the_fields_that_the_operator_reads(
    mr: Mr, api: KubeApi, namespace: str
) -> None:
    submit(mr)

    def spec() -> dict[str, object]:
        job = api.get("mapreducejobs", namespace, "wc")
        assert job is not None
        return dict(job["spec"])

    mr("suspend", "wc")
    assert spec()["suspend"] is True
    mr("resume", "wc")
    assert spec()["suspend"] is False
    mr("scale", "wc", "--workers", "7")
    assert spec()["workers"] == {"replicas": 7}


def test_a_name_that_is_taken_is_refused_and_rm_makes_it_free(mr: Mr, api: KubeApi, namespace: str) -> None:
    submit(mr)
    assert "already" in mr("submit", "wc.py", "pvc://b/", "-o", "pvc://r/wc", code=2).err
    mr("rm", "mrj/wc", "--wait", "10s")
    assert api.get("mapreducejobs", namespace, "wc") is None
    submit(mr)


def test_the_status_that_an_operator_writes_is_what_is_told(mr: Mr, api: KubeApi, namespace: str) -> None:
    submit(mr)
    set_status(api, namespace, "wc", COMPLETE)
    assert mr("ls").out.splitlines()[1].split()[:4] == ["wc", "Complete", "3/3", "2/2"]
    assert mr("wait", "wc").err == "mr: job 'wc' is complete, output in pvc://results/wc\n"
    stuck = condition("WorkersReady", "False", "QuotaExceeded", "The namespace's quota allows no more pods.")
    submit(mr, name="other")
    set_status(api, namespace, "other", {"state": "Starting", "conditions": [stuck]})
    assert json.loads(mr("why", "other", "-o", "json").out)["reason"] == "QuotaExceeded"


def test_waiting_follows_a_watch_until_the_end(
    mr: Mr, api: KubeApi, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(mr)
    failed = {"conditions": [condition("Failed", "True", "DeadlineExceeded", "It took too long.")]}
    when_watched(
        monkeypatch,
        lambda: set_status(api, namespace, "wc", {"state": "Mapping"}),
        lambda: set_status(api, namespace, "wc", failed),
    )
    assert "DeadlineExceeded" in mr("wait", "wc", "--timeout", "60s", code=1).err


def test_the_doctor_finds_the_resource_and_ones_rights_and_misses_an_operator(mr: Mr, namespace: str) -> None:
    found = {one["subject"]: one for one in json.loads(mr("doctor", "-o", "json", code=1).out)}
    assert found["CRD"]["verdict"] == "ok"
    assert "CRD's fields" not in found, "the definition has every field that this release knows"
    assert found["namespace"]["finding"] == namespace
    assert found["operator"]["verdict"] == "bad"
    assert found["rights"]["verdict"] == "ok"


def test_a_pod_that_reads_a_claim_is_accepted_where_pods_are_restricted(api: KubeApi) -> None:
    from mapreduce_cli.cluster.reader import Mount, Wanted, pod_manifest

    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create("namespaces", "", {"metadata": {"name": "restricted", "labels": labels}})
    wanted = Wanted("registry/worker:1", output=Mount("results", "wc"), state=Mount("logs", "mr-wc-1"))
    assert api.create("pods", "restricted", pod_manifest("mr-reader-1", wanted, "0" * 64))["metadata"]["uid"]


def test_without_the_right_to_see_jobs_the_error_says_so(
    mr: Mr, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "nobodys"}
    (tmp_path / "nobody").write_text(yaml.safe_dump(config))
    ran = mr("ls", "--kubeconfig", "nobody", code=3)
    assert "does not know you" in ran.err


def test_kubectl_finds_the_plugin_and_its_completion(
    mr: Mr, plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submit(mr)
    scripts = tmp_path / "bin"
    scripts.mkdir()
    for name, module, function in (
        ("kubectl-mr", "main", "plugin"),
        ("kubectl_complete-mr", "completing", "kubectl_complete"),
    ):
        script = scripts / name
        script.write_text(f"#!{sys.executable}\nfrom mapreduce_cli.{module} import {function}\n{function}()\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scripts}:{os.environ['PATH']}")
    monkeypatch.delenv("MR_NAMESPACE")
    kubectl = str(gobuild.program("kubectl"))

    def output(*arguments: str) -> str:
        return subprocess.run([kubectl, *arguments], capture_output=True, text=True, check=True).stdout

    assert output("mr", "ls", "-n", namespace, "-o", "name") == "mapreducejob.mapreduce.dev/wc\n"
    assert output("__complete", "mr", "wait", "-n", namespace, "w").splitlines()[0] == "wc"
