"""Reading a job's object: what the schema cannot see is refused in words; nothing that is stored can break a pass."""

from __future__ import annotations

import pytest

from mapreduce.errors import InvalidJobSpec
from mapreduce_operator import spec
from mapreduce_operator.manifests import paths, volumes
from mapreduce_operator.manifests.paths import Place
from mapreduce_operator.naming import Names
from mapreduce_operator.settings import Settings
from mapreduce_operator.statusmodel import JobStatus
from tests.support.operatorjobs import UID, Raw, job, raw_job


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"code": {}}, "spec.code"),
        ({"code": {"inline": "x", "module": "y"}}, "spec.code"),
        ({"code": {"volumePath": "wc.py"}}, "spec.code.volumePath"),
        ({"inputs": []}, "spec.inputs"),
        ({"inputs": [{"uri": "books/*.txt"}]}, "spec.inputs[0].uri"),
        ({"inputs": [{"uri": "pvc://a/../b"}]}, "spec.inputs[0].uri"),
        ({"inputs": [{"uri": "pvc://a/x", "inline": "y"}]}, "spec.inputs[0]"),
        ({"inputs": [{}]}, "spec.inputs[0].uri"),
        ({"output": {"uri": "pvc://a"}}, "spec.output.uri"),
        ({"storage": {"shuffle": "Peer", "runs": {"claimName": "a"}}}, "spec.storage.runs"),
        ({"inputs": [{"uri": "pvc://a/x", "secretRef": {"name": "s"}}]}, "spec.inputs[0].secretRef"),
        ({"output": {"uri": "/out"}}, "spec.output.uri"),
        ({"output": {"uri": "pvc://Claim/x"}}, "spec.output.uri"),
        ({"output": {"uri": "pvc://a/$(POD_NAME)"}}, "spec.output.uri"),
        ({"output": {"uri": "pvc://a/x", "nameTemplate": "same"}}, "spec.output.nameTemplate"),
        ({"storage": {"log": {"claimName": "a", "claimTemplate": {}}}}, "spec.storage.log"),
        ({"reducers": -1}, "spec.reducers"),
        ({"nonsense": 1}, "spec"),
    ],
)
def test_what_cannot_be_carried_out_is_named_by_field(fields: Raw, field: str) -> None:
    read = job(**fields)
    assert read.spec is None
    assert read.problem.split(":")[0] == field


LOG, RUNS = "mr-other-0a1b2c3d-log", "mr-other-0a1b2c3d-runs"
SENT = [{"uri": "https://mine/", "secretRef": {"name": "mr-other-0a1b2c3d-admin"}}]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"inputs": SENT}, "spec.inputs[0].secretRef.name"),
        ({"inputs": [{"inline": "a"}, {"uri": f"pvc://{LOG}/x"}]}, "spec.inputs[1].uri"),
        ({"output": {"uri": f"pvc://{LOG}/x"}}, "spec.output.uri"),
        ({"output": {"uri": f"pvc://{RUNS}/x", "claimTemplate": {}}}, "spec.output.uri"),
        ({"code": {"volumePath": f"pvc://{RUNS}/wc.py"}}, "spec.code.volumePath"),
        ({"storage": {"log": {"claimName": LOG}}}, "spec.storage.log.claimName"),
        ({"storage": {"runs": {"claimName": LOG}}}, "spec.storage.runs.claimName"),
    ],
)
def test_tokens_and_claims_of_jobs_cannot_be_named(fields: Raw, field: str) -> None:
    assert job(**fields).problem.split(":")[0] == field


def test_names_that_only_resemble_those_of_the_operator_are_taken() -> None:
    sent = [{"uri": "https://mine/", "secretRef": {"name": "mr-team-admin"}}, {"uri": "pvc://mr-web-log/x"}]
    assert job(inputs=sent, output={"uri": "pvc://mr-web-runs/x"}).problem == ""


def test_a_job_of_every_kind_of_source_is_accepted() -> None:
    inputs = [{"uri": "pvc://a/b/*.txt"}, {"uri": "configmap://c/k"}, {"uri": "https://h/x"}, {"inline": "a"}]
    assert job(inputs=inputs).problem == ""
    for code in ({"module": "wc"}, {"configMapRef": {"name": "c"}}, {"volumePath": "pvc://a/wc.py"}):
        assert job(code=code).problem == ""


@pytest.mark.parametrize("stored", [{}, {"conditions": "x"}, {"maps": 3}, {"startTime": 5}])
def test_a_status_that_cannot_be_read_is_made_anew(stored: Raw) -> None:
    assert spec.read(raw_job(status=stored)).status == JobStatus()


def test_an_object_with_nothing_in_it_is_a_problem_and_no_crash() -> None:
    raw = raw_job()
    del raw["spec"]
    assert spec.read(raw).problem


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("pvc://a", Place("a", "")),
        ("pvc://a/", Place("a", "")),
        ("pvc://a.b-c/d/e f", Place("a.b-c", "d/e f")),
    ],
)
def test_a_uri_is_a_claim_and_a_path(uri: str, place: Place) -> None:
    assert paths.claim_path(uri, "x") == place


@pytest.mark.parametrize(
    "uri", ["pvc://", "pvc:///x", "pvc://a//b", "pvc://a/./b", "pvc://a/b/..", "pvc://a/\0", "pvc://a/\n", "http://a/b"]
)
def test_a_path_with_tricks_is_refused(uri: str) -> None:
    with pytest.raises(InvalidJobSpec):
        paths.claim_path(uri, "x")


def test_runs_lie_with_the_log_unless_a_volume_is_given() -> None:
    names = Names("count", UID)

    def runs(**storage: object) -> str:
        read = job(storage=storage).spec
        assert read is not None
        return volumes.sources(read, names).runs

    assert runs() == names.log_claim
    assert runs(log={"claimName": "mine"}) == "mine"
    assert runs(runs={"claimName": "fast"}) == "fast"
    assert runs(runs={"claimTemplate": {}}) == names.runs_claim
    assert runs(shuffle="Peer") == ""


def test_settings_are_read_from_the_environment_and_wrong_ones_named() -> None:
    read = Settings.from_environment(
        {"MR_WORKER_IMAGE": "w:2", "MR_NAMESPACES": "a, b", "MR_HEALTH_PORT": "8080", "MR_NETWORK_POLICIES": "true"}
    )
    assert (read.worker_image, read.namespaces, read.health_port) == ("w:2", ("a", "b"), 8080)
    assert read.has_network_policies
    for name, value in (
        ("MR_POLL_SECONDS", "soon"),
        ("MR_HEALTH_PORT", "70000"),
        ("MR_NETWORK_POLICIES", "maybe"),
        ("MR_LOG_LEVEL", "LOUD"),
        ("MR_WORKER_IMAGE_PULL_POLICY", "Sometimes"),
    ):
        with pytest.raises(Exception, match=name):
            Settings.from_environment({name: value})


def test_the_lease_goes_to_the_operators_own_namespace_unless_told_otherwise() -> None:
    assert Settings.from_environment({}).lease_namespace == ""
    assert Settings.from_environment({"MR_POD_NAMESPACE": "own"}).lease_namespace == "own"
    both = {"MR_POD_NAMESPACE": "own", "MR_LEASE_NAMESPACE": "other"}
    assert Settings.from_environment(both).lease_namespace == "other"
