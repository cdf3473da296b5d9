"""`mr doctor`: each thing it looks at, well and unwell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from mapreduce.version import __version__
from mapreduce_cli import health
from mapreduce_cli.cluster.health import RIGHTS
from mapreduce_cli.health import MountPoint
from mapreduce_operator.naming import OPERATOR_LABELS, selector_text
from tests.support.clustercommands import Person, person

__all__ = ["person"]

GROUP = "/apis/mapreduce.dev"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mapreducejobs.mapreduce.dev"


def findings(person: Person, *options: str) -> dict[str, dict[str, str]]:
    """What is found, by subject."""
    found = json.loads(person.mr("doctor", *options, "-o", "json").out)
    return {one["subject"]: one for one in found}


def make_well(person: Person, **operator: object) -> None:
    """A cluster in which all is as it should be."""
    cluster = person.cluster
    cluster.put("/version", {"gitVersion": "v1.34.1"})
    cluster.put("/api/v1/namespaces/team-a", {"metadata": {"name": "team-a"}})
    cluster.put(GROUP, {"versions": [{"version": "v1alpha1"}]})
    metadata = {"name": "op", "namespace": "mapreduce", "labels": {"app.kubernetes.io/version": __version__}}
    status = {"readyReplicas": 1}
    cluster.put("/apis/apps/v1/deployments/op", {"metadata": {**metadata, **operator}, "status": status})
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.put(
        "/apis/storage.k8s.io/v1/storageclasses/standard", {"metadata": {"name": "standard", "annotations": default}}
    )


def test_this_machine_is_looked_at_without_a_cluster(person: Person) -> None:
    ran = person.mr("doctor")
    assert ran.code in {0, 1}  # the disk may be full
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in ran.out.splitlines() if not line.startswith(" ")] == [
        "Python",
        "Kubernetes client",
        "temporary files",
        "this folder",
        "coordinators",
        "processes",
    ]
    assert person.cluster.asked == []


@pytest.mark.parametrize(("free", "verdict"), [(1 << 29, "bad"), (1 << 40, "ok")])
def test_a_full_disk_is_bad(free: int, verdict: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free, total=1 << 41))
    assert health.check_free("state folder", tmp_path).verdict == verdict


def test_a_folder_that_is_not_there_is_bad(tmp_path: Path) -> None:
    assert health.check_free("state folder", tmp_path / "none").verdict == "bad"


@pytest.mark.parametrize(("kind", "verdict"), [("nfs4", "bad"), ("ext4", "ok")])
def test_a_state_folder_on_a_network_file_system_is_bad(kind: str, verdict: str, tmp_path: Path) -> None:
    mounts = [MountPoint(Path("/"), "overlay"), MountPoint(tmp_path.resolve(), kind)]
    assert health.check_file_system(tmp_path / "state", mounts).verdict == verdict
    assert health.check_file_system(tmp_path / "state", []).verdict == "unknown"


def test_mounts_are_read_with_blanks_in_their_paths(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text("server:/x /mnt/two\\040words nfs4 rw 0 0\nnone\n")
    assert health.read_mounts(table) == [MountPoint(Path("/mnt/two words"), "nfs4")]
    assert health.read_mounts(tmp_path / "none") == []


def test_processes_are_found_by_their_module_and_their_parents_are_known() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert health.parent_of(process.pid) > 1
        assert process.pid not in health.own_processes("mapreduce_worker")
    finally:
        process.kill()
        process.wait()
    assert health.parent_of(process.pid) == 0


def test_a_cluster_in_which_all_is_well(person: Person) -> None:
    make_well(person)
    ran = person.mr("doctor", "-n", "team-a")
    assert ran.code == 0, ran.out
    assert {line.split()[0] for line in ran.out.splitlines()} == {"ok"}


def test_the_operator_is_looked_for_by_what_its_pod_is_labelled_with(person: Person) -> None:
    make_well(person)
    person.mr("doctor", "-n", "team-a")
    (asked,) = (one for one in person.cluster.asked if one.path == "/apis/apps/v1/deployments")
    assert asked.query["labelSelector"] == selector_text(OPERATOR_LABELS)


def test_the_very_calls_that_commands_make_are_asked_for(person: Person) -> None:
    make_well(person)
    person.mr("doctor", "-n", "team-a")
    reviews = [json.loads(asked.body)["spec"]["resourceAttributes"] for asked in person.cluster.asked if asked.body]
    assert len(reviews) == sum(len(verbs) for *_, verbs in RIGHTS)
    assert {review["namespace"] for review in reviews} == {"team-a"}


def test_without_the_operators_objects_it_is_said_what_to_install(person: Person) -> None:
    person.cluster.put("/version", {"gitVersion": "v1.34.1"})
    found = findings(person, "-n", "team-a")
    assert {subject: one["verdict"] for subject, one in found.items()} == {
        "cluster": "ok",
        "namespace": "bad",
        "CRD": "bad",
        "operator": "bad",
        "StorageClass": "bad",
        "rights": "ok",
    }
    assert all(one["fix"] for one in found.values() if one["verdict"] == "bad")


def test_another_version_of_the_resource_is_bad_and_of_the_operator_worth_a_note(person: Person) -> None:
    make_well(person, labels={"app.kubernetes.io/version": "9.9.9"})
    assert findings(person, "-n", "team-a")["operator"]["verdict"] == "note"
    person.cluster.put(GROUP, {"versions": [{"version": "v9"}]})
    assert findings(person, "-n", "team-a")["CRD"]["verdict"] == "bad"


def test_fields_that_the_clusters_definition_lacks_are_named(person: Person) -> None:
    make_well(person)
    schema: dict[str, object] = {"properties": {"spec": {"properties": {"code": {}, "inputs": {}, "output": {}}}}}
    versions = [{"name": "v1alpha1", "schema": {"openAPIV3Schema": schema}}]
    person.cluster.put(CRD, {"spec": {"versions": versions}})
    found = findings(person, "-n", "team-a")["CRD's fields"]
    assert found["verdict"] == "note"
    assert "suspend" in found["finding"]
    assert "inputs" not in found["finding"].split(": ")[1].split(", ")


def test_what_one_may_not_look_at_is_unknown_and_no_failure(person: Person) -> None:
    make_well(person)
    for path in ("/apis/apps/v1/deployments", "/apis/storage.k8s.io/v1/storageclasses", "/api/v1/namespaces/team-a"):
        person.cluster.refusals["GET", path] = (403, "Forbidden")
    ran = person.mr("doctor", "-n", "team-a")
    assert ran.code == 0
    assert ran.out.count("\n?") == 3


def test_rights_that_are_missing_are_listed_by_command(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    make_well(person)
    monkeypatch.setattr(
        "mapreduce_cli.cluster.health._may", lambda _cluster, _group, resource, _sub, _verb: resource != "secrets"
    )
    ran = person.mr("doctor", "-n", "team-a")
    assert ran.code == 1
    assert "for get, logs, why (the coordinator's token) you lack: get secrets" in ran.out


def test_a_cluster_that_does_not_answer_is_unreachable(person: Person) -> None:
    person.cluster.refusals["GET", "/version"] = (503, "ServiceUnavailable")
    assert person.mr("doctor", "-n", "team-a").code == 3
