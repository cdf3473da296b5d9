"""Commands that reach a real coordinator, or the reader of what it left, through an API server's proxies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce.coordinator.statefiles import read_endpoint
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.endpoint import read_token
from mapreduce_operator.naming import Names
from tests.support.clustercommands import COMPLETE, FAILED, Person, person
from tests.support.mrruns import WORD_COUNT, mr, mr_command, until

__all__ = ["person"]

POD = "/api/v1/namespaces/team-a/pods"
IMAGE = "registry/worker:1"


class Coordinator:
    """A coordinator with job 1, `wc`, as a pod would serve it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.output = folder, folder / "state", folder / "out"
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        (folder / "wc.py").write_text(WORD_COUNT + "\ndef noisy(line):\n    print('I saw', line)\n    yield line, 1\n")
        (folder / "a.txt").write_text("the cat and the dog\n")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.start("coordinator", "--dir", "state")
        until(lambda: read_endpoint(self.state) is not None, "the coordinator")
        self.mr("submit", "wc.py", "a.txt", "-o", "out", "--mapper", "noisy", "--reducers", "2", "--dir", "state")

    def start(self, *arguments: str) -> None:
        process = subprocess.Popen(
            mr_command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)

    def mr(self, *arguments: str) -> str:
        return mr(*arguments, cwd=self.folder).stdout

    def put_into(self, person: Person, status: dict[str, Any]) -> None:
        """What the operator would have made of the job: the object, the Secret, the Service."""
        job = person.cluster.job("wc", status=status)
        names = Names("wc", job["metadata"]["uid"])
        endpoint = read_endpoint(self.state)
        assert endpoint is not None
        person.cluster.proxies[f"/api/v1/namespaces/team-a/services/{names.coordinator}:http"] = endpoint.url
        tokens = {"token": read_token(self.state / "token", "admin"), "read": read_token(self.state / "token", "read")}
        secret = {name: _base64(token) for name, token in tokens.items()}
        person.cluster.put(f"/api/v1/namespaces/team-a/secrets/{names.admin_secret}", {"data": secret})

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """Its job is complete."""
    coordinator = Coordinator(tmp_path_factory.mktemp("done"))
    coordinator.start("worker", "--dir", "state")
    try:
        coordinator.mr("wait", "1", "--dir", "state")
        yield coordinator
    finally:
        coordinator.end()


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """Its job has no worker."""
    coordinator = Coordinator(tmp_path_factory.mktemp("waiting"))
    try:
        yield coordinator
    finally:
        coordinator.end()


def test_a_result_is_read_merged_ranked_and_copied_through_the_proxy(person: Person, done: Coordinator) -> None:
    done.put_into(person, COMPLETE)
    assert sorted(person.mr("get", "wc", "-n", "team-a").out.splitlines()) == ["the cat and the dog\t1"]
    assert person.mr("get", "wc", "-n", "team-a", "--merge").out == "the cat and the dog\t1\n"
    assert person.mr("get", "wc", "-n", "team-a", "--top", "1").out == "the cat and the dog\t1\n"
    assert person.mr("get", "pvc://results/wc", "-n", "team-a", "-o", "copy/").code == 0
    copied = {path.name: path.read_bytes() for path in Path("copy").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in done.output.glob("part-*")}


def test_the_token_travels_in_its_own_header_and_reading_takes_the_one_for_reading(
    person: Person, done: Coordinator
) -> None:
    done.put_into(person, COMPLETE)
    person.mr("get", "wc", "-n", "team-a")
    proxied = [asked for asked in person.cluster.asked if "/proxy/" in asked.path]
    assert {asked.headers["x-mapreduce-token"] for asked in proxied} == {read_token(done.state / "token", "read")}
    assert {asked.headers["authorization"] for asked in proxied} == {"Bearer of-the-user"}  # for the API server


def test_what_a_task_printed_is_read_through_the_proxy(person: Person, done: Coordinator) -> None:
    done.put_into(person, COMPLETE)
    out = person.mr("logs", "wc", "-n", "team-a", "--task", "map-0").out
    assert out.startswith("==> map-0/attempt-1 <==\n")
    assert "I saw the cat and the dog" in out


def test_why_asks_the_coordinator_when_the_operator_knows_of_nothing_wrong(
    person: Person, done: Coordinator, waiting: Coordinator
) -> None:
    done.put_into(person, COMPLETE)
    assert re.match(r"wc: Complete in .*\.\n", person.mr("why", "wc", "-n", "team-a").out)
    waiting.put_into(person, {"state": "Mapping", "conditions": COMPLETE["conditions"][:1]})
    until(lambda: "no worker is registered" in person.mr("why", "wc", "-n", "team-a").out, "the first three seconds")


def test_cancelling_asks_the_coordinator(person: Person, waiting: Coordinator) -> None:
    waiting.put_into(person, {"state": "Mapping"})
    assert person.mr("cancel", "wc", "-n", "team-a").out == "job 'wc' is Cancelled\n"
    again = person.mr("cancel", "wc", "-n", "team-a")
    assert (again.code, "is Cancelled already" in again.err) == (2, True)


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


class Kubelet:
    """Runs the reader of a pod as a process here, its claims being folders."""

    def __init__(self, person: Person, folders: dict[str, Path]) -> None:
        self.person, self.folders = person, folders
        self.pods: list[dict[str, Any]] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        person.cluster.on_create = self.run

    def run(self, path: str, body: dict[str, Any]) -> None:
        if not path.startswith(f"{POD}/"):
            return
        self.pods.append(body)
        container = body["spec"]["containers"][0]
        claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in body["spec"]["volumes"]}
        arguments = list(container["args"])
        for mount in container["volumeMounts"]:
            folder = self.folders[claims[mount["name"]]] / mount.get("subPath", "")
            arguments[arguments.index(mount["mountPath"])] = str(folder)
        arguments[arguments.index("0.0.0.0")] = "127.0.0.1"
        arguments[arguments.index("8080")] = "0"
        process = subprocess.Popen([sys.executable, *container["command"][1:], *arguments], stderr=subprocess.PIPE)
        self.processes.append(process)
        assert process.stderr is not None
        told = next(line for line in iter(process.stderr.readline, b"") if b"listens on port" in line)
        self.person.cluster.proxies[f"{path}:8080"] = f"http://127.0.0.1:{int(told.split()[-1].rstrip(b'.'))}"
        body["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}

    def end(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            process.stderr.close()
            assert process.wait(timeout=30) == 0


@pytest.fixture
def kubelet(person: Person, done: Coordinator) -> Iterator[Kubelet]:
    """One whose claim `results` has the output below `wc`, and `logs` the state folder below the job's base name."""
    claims = {"results": person.folder / "claims" / "results", "logs": person.folder / "claims" / "logs"}
    for claim in claims.values():
        claim.mkdir(parents=True)
    (claims["results"] / "wc").symlink_to(done.output)
    (claims["logs"] / "mr-wc-wcxxxxxx").symlink_to(done.state)
    kubelet = Kubelet(person, claims)
    yield kubelet
    kubelet.end()


def test_the_output_of_a_deleted_job_is_read_by_a_pod_that_is_removed_at_the_end(
    person: Person, kubelet: Kubelet
) -> None:
    ran = person.mr("get", "pvc://results/wc", "-n", "team-a", "--merge", "--reader-image", IMAGE)
    assert ran.out == "the cat and the dog\t1\n", ran.err
    assert not [path for path in person.cluster.objects if path.startswith(POD)]


def test_an_output_is_read_though_a_later_job_was_refused_it(
    person: Person, done: Coordinator, kubelet: Kubelet
) -> None:
    done.put_into(person, COMPLETE)
    refused = person.cluster.job("again", status=FAILED, spec={"output": {"uri": "pvc://results/wc"}})
    refused["metadata"]["creationTimestamp"] = "2026-03-03T00:00:00Z"
    assert person.mr("get", "pvc://results/wc", "-n", "team-a").out == "the cat and the dog\t1\n"
    assert kubelet.pods == []  # the coordinator of the job that made it is still there
    person.cluster.remove("/apis/mapreduce.dev/v1alpha1/namespaces/team-a/mapreducejobs/wc")
    ran = person.mr("get", "pvc://results/wc", "-n", "team-a", "--reader-image", IMAGE)
    assert ran.out == "the cat and the dog\t1\n", ran.err


def test_the_pod_is_restricted_reads_only_and_ends_by_itself(person: Person, kubelet: Kubelet) -> None:
    person.mr("get", "pvc://results/wc", "-n", "team-a", "--reader-image", IMAGE)
    spec = kubelet.pods[0]["spec"]
    container = spec["containers"][0]
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [(mount["readOnly"], mount["subPath"]) for mount in container["volumeMounts"]] == [(True, "wc")]
    assert container["image"] == IMAGE


def test_the_image_of_the_reader_is_that_of_a_coordinator_there(person: Person, kubelet: Kubelet) -> None:
    pod = {"imagePullSecrets": [{"name": "pull"}], "containers": [{"name": "coordinator", "image": "registry/own:2"}]}
    person.cluster.put(
        "/apis/apps/v1/namespaces/team-a/statefulsets/any",
        {"metadata": {"name": "any"}, "spec": {"template": {"spec": pod}}},
    )
    assert person.mr("get", "pvc://results/wc", "-n", "team-a").code == 0
    spec = kubelet.pods[0]["spec"]
    assert (spec["containers"][0]["image"], spec["imagePullSecrets"]) == ("registry/own:2", [{"name": "pull"}])


def test_without_any_coordinator_it_is_the_one_that_the_operator_was_told(person: Person, kubelet: Kubelet) -> None:
    container = {"env": [{"name": "MR_WORKER_IMAGE", "value": "registry/worker:3"}]}
    spec = {"template": {"spec": {"containers": [container]}}}
    person.cluster.put("/apis/apps/v1/deployments/op", {"metadata": {"name": "op"}, "spec": spec})
    assert person.mr("get", "pvc://results/wc", "-n", "team-a").code == 0
    assert kubelet.pods[0]["spec"]["containers"][0]["image"] == "registry/worker:3"


def test_without_any_image_the_error_asks_for_one(person: Person) -> None:
    ran = person.mr("get", "pvc://results/wc", "-n", "team-a")
    assert (ran.code, "--reader-image" in ran.err) == (2, True)


def test_an_interrupted_command_leaves_no_pod(
    person: Person, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(CoordinatorClient, "parts", interrupted)
    ran = person.mr("get", "pvc://results/wc", "-n", "team-a", "--reader-image", IMAGE)
    assert ran.code == 130
    assert len(kubelet.pods) == 1
    assert not [path for path in person.cluster.objects if path.startswith(POD)]


def test_a_reader_that_cannot_start_says_why_and_is_removed(person: Person) -> None:
    def refuse(path: str, body: dict[str, Any]) -> None:
        waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
        body["status"] = {"containerStatuses": [{"state": {"waiting": waiting}}]}

    person.cluster.on_create = refuse
    ran = person.mr("get", "pvc://results/wc", "-n", "team-a", "--reader-image", IMAGE)
    assert (ran.code, "ImagePullBackOff: no such image" in ran.err) == (3, True)
    assert not [path for path in person.cluster.objects if path.startswith(POD)]


def test_logs_of_a_suspended_job_are_read_from_its_volume(person: Person, kubelet: Kubelet) -> None:
    person.cluster.job("wc", status={"state": "Suspended"}, spec={"storage": {"log": {"claimName": "logs"}}})
    ran = person.mr("logs", "wc", "-n", "team-a", "--reader-image", IMAGE)
    assert "I saw the cat and the dog" in ran.out, ran.err
    mounts = kubelet.pods[0]["spec"]["containers"][0]["volumeMounts"]
    assert [(mount["readOnly"], mount["subPath"]) for mount in mounts] == [(True, "mr-wc-wcxxxxxx")]


def test_counters_of_a_deleted_jobs_output_come_from_its_success_file(person: Person, kubelet: Kubelet) -> None:
    pod = {"containers": [{"name": "coordinator", "image": IMAGE}]}
    person.cluster.put(
        "/apis/apps/v1/namespaces/team-a/statefulsets/any",
        {"metadata": {"name": "any"}, "spec": {"template": {"spec": pod}}},
    )
    ran = person.mr("counters", "pvc://results/wc", "-n", "team-a")
    assert (ran.code, "has counted nothing" in ran.err) == (0, True)
