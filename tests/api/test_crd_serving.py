"""What a real API server makes of the resource: subresources, columns, selectors, explanations."""

from __future__ import annotations

import json
import re

import pytest

from cluster.controlplane import ControlPlane
from cluster.errors import CommandFailed
from mapreduce_operator.crd.flattening import described_fields
from mapreduce_operator.crd.resource import object_schema
from tests.support.crdjobs import DEFINITION, job
from tests.support.kubeapi import ApiRefused, KubeApi, path_of

STATUS = {
    "state": "Mapping",
    "message": "37 of 64 maps are committed.",
    "startTime": "2026-01-01T00:00:00Z",
    "maps": {"total": 64, "committed": 37, "progress": "37/64"},
    "reduces": {"total": 8, "progress": "0/8"},
    "attemptsFailed": 2,
    "workers": {"desired": 3, "ready": 2, "selector": "mapreduce.dev/job=job"},
    "shuffle": "Peer",
}


def test_the_server_accepts_the_definition_and_its_rules(api: KubeApi) -> None:
    definition = api.get("customresourcedefinitions", "", "mapreducejobs.mapreduce.dev")
    assert definition is not None
    conditions = {found["type"]: found["status"] for found in definition["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("word", ["mrj", "mapreducejob", "mapreducejobs.mapreduce.dev", "mapreduce", "all"])
def test_a_job_is_found_by_short_name_and_categories(
    plane: ControlPlane, api: KubeApi, namespace: str, word: str
) -> None:
    api.create("mapreducejobs", namespace, job())
    assert plane.kubectl("get", word, "-n", namespace, "-o", "name") == "mapreducejob.mapreduce.dev/job\n"


def test_status_is_written_through_its_subresource_only(api: KubeApi, namespace: str) -> None:
    created = api.create("mapreducejobs", namespace, {**job(), "status": STATUS})
    assert "status" not in created
    patched = api.patch("mapreducejobs", namespace, "job", {"status": STATUS, "spec": {"suspend": True}}, "status")
    assert (patched["status"], patched["spec"].get("suspend")) == (STATUS, None)
    assert patched["metadata"]["generation"] == 1  # only the specification counts


def test_a_status_out_of_bounds_is_refused(api: KubeApi, namespace: str) -> None:
    api.create("mapreducejobs", namespace, job())
    for wrong, field in (
        ({"state": "Sleeping"}, "status.state"),
        ({"failures": [{"task": "map-1"}] * 6}, "status.failures"),
        ({"counters": {str(number): 1 for number in range(51)}}, "status.counters"),
        ({"conditions": [{"type": "Complete", "status": "Maybe"}]}, "status.conditions"),
    ):
        with pytest.raises(ApiRefused, match=re.escape(field)):
            api.patch("mapreducejobs", namespace, "job", {"status": wrong}, "status")


def test_conditions_are_told_apart_by_type_for_server_side_apply(api: KubeApi, namespace: str) -> None:
    api.create("mapreducejobs", namespace, job())
    for kind, manager in (("Validated", "one"), ("Finished", "two")):
        condition = {
            "type": kind,
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        content = {
            "apiVersion": "mapreduce.dev/v1alpha1",
            "kind": "MapReduceJob",
            "metadata": {"name": "job"},
            "status": {"conditions": [condition]},
        }
        path = f"{path_of('mapreducejobs', namespace, 'job')}/status?fieldManager={manager}"
        api.ask("PATCH", path, content, "application/apply-patch+yaml")
    kept = api.ask("GET", path_of("mapreducejobs", namespace, "job"))
    assert [found["type"] for found in kept["status"]["conditions"]] == ["Validated", "Finished"]


def test_workers_are_scaled_through_the_scale_subresource(plane: ControlPlane, api: KubeApi, namespace: str) -> None:
    api.create("mapreducejobs", namespace, job())  # says nothing of workers
    api.patch("mapreducejobs", namespace, "job", {"status": STATUS}, "status")
    plane.kubectl("scale", "mrj/job", "--replicas", "5", "-n", namespace)
    scale = api.ask("GET", path_of("mapreducejobs", namespace, "job") + "/scale")
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 2, "selector": "mapreduce.dev/job=job"}
    held = api.get("mapreducejobs", namespace, "job")
    assert held is not None
    assert held["spec"]["workers"] == {"replicas": 5}


def test_columns_tell_how_far_a_job_is(plane: ControlPlane, api: KubeApi, namespace: str) -> None:
    api.create("mapreducejobs", namespace, job())
    api.patch("mapreducejobs", namespace, "job", {"status": STATUS}, "status")
    head, row = (re.split(r" {2,}", line.strip()) for line in _lines(plane, namespace))
    assert head == ["NAME", "STATUS", "MAPS", "REDUCES", "WORKERS", "FAILED", "AGE"]
    assert row[:-1] == ["job", "Mapping", "37/64", "0/8", "2", "2"]
    head, row = (re.split(r" {2,}", line.strip()) for line in _lines(plane, namespace, "-o", "wide"))
    assert head[-3:] == ["SHUFFLE", "OUTPUT", "MESSAGE"]
    assert row[-3:] == ["Peer", "pvc://results/words", "37 of 64 maps are committed."]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("status.state=Mapping", "running"),
        ("spec.suspend=true", "waiting"),
        ("status.state!=Mapping", "waiting"),
        ("metadata.name=running,spec.suspend!=true", "running"),
    ],
)
def test_jobs_are_selected_by_field(
    plane: ControlPlane, api: KubeApi, namespace: str, selector: str, found: str
) -> None:
    api.create("mapreducejobs", namespace, job(name="running"))
    api.create("mapreducejobs", namespace, job(("spec.suspend", True), name="waiting"))
    api.patch("mapreducejobs", namespace, "running", {"status": STATUS}, "status")
    got = plane.kubectl("get", "mrj", "-n", namespace, "--field-selector", selector, "-o", "name")
    assert got == f"mapreducejob.mapreduce.dev/{found}\n"


def test_kubectl_explain_is_the_manual(plane: ControlPlane) -> None:
    tree = plane.kubectl("explain", "mapreducejob", "--recursive")
    names = set(re.findall(r"^ +([\w$]+)\t", tree, re.MULTILINE))
    expected = {path.rpartition(".")[2].removesuffix("[]") for path, _ in described_fields(object_schema())}
    assert expected - names == set()
    text = " ".join(plane.kubectl("explain", "mrj.spec.storage.shuffle").split())
    assert "Shared: runs on a volume that all see. Peer: served by the worker that made them." in text
    assert "ENUM: Shared Peer" in text


def test_kubectl_apply_says_which_field_is_misspelt(plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(CommandFailed, match=r'unknown field "spec\.reduceer"'):
        plane.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(job(("spec.reduceer", "sum"))))


def test_the_definition_can_be_applied_over_itself_server_side(plane: ControlPlane) -> None:
    for _ in range(2):
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEFINITION))


def _lines(plane: ControlPlane, namespace: str, *options: str) -> list[str]:
    return plane.kubectl("get", "mrj", "-n", namespace, *options).splitlines()
