"""Jobs deleted in each phase: nothing of them stays but a finished output, and they can be applied again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clusterjobs
from tests.support.claimfiles import MOUNTED_AT
from tests.support.gatedjobs import CLAIM, GatedJob, Stage
from tests.support.kubecalls import Object, condition

OF_THE_STAGE = {f"PersistentVolumeClaim/{CLAIM}", f"Pod/files-of-{CLAIM}", "ConfigMap/kube-root-ca.crt"}
BROKEN = "import no_such_module\n"


def test_jobs_deleted_in_each_phase_leave_their_output_and_nothing_else(stage: Stage, tmp_path: Path) -> None:
    mapping = stage.start("mapping", "Shared", "map-begin", replicas=1)
    reducing = stage.start("reducing", "Peer", "map-begin", "map-end", replicas=1)
    suspended = stage.start("suspended", "Peer", "all", suspend=True)
    failed = stage.start("failed", "Shared", "all", code=BROKEN, replicas=1)
    complete = stage.start("complete", "Peer", "all", replicas=1)
    mapping.until_at("map-end", 1)
    reducing.until_at("reduce-begin", 1)
    suspended.until_condition("Suspended")
    failed.until_condition("Failed")
    complete.until_condition("Complete")
    starting = stage.start("starting", "Shared", "all")
    jobs = (starting, mapping, reducing, suspended, failed, complete)
    found = {job.name: job.found() for job in jobs}
    stage.namespace.kubectl("delete", "mapreducejobs", *found, "--timeout=120s", timeout_s=130)
    for one in found.values():
        stage.namespace.until_gone(clusterjobs.CHILDREN, clusterjobs.labels_of(one))
    left = {f"{one['kind']}/{one['metadata']['name']}" for one in stage.namespace.listed(clusterjobs.CHILDREN)}
    assert left == OF_THE_STAGE
    assert clusterjobs.parts(complete.output()) == clusterjobs.oracle(complete.manifest, tmp_path)


def _entries(job: GatedJob) -> list[str]:
    """Files and folders in the output folder, which is there."""
    files = job.stage.files
    return files.namespace.kubectl("exec", files.pod, "--", "ls", "-A", f"{MOUNTED_AT}/out/{job.name}").split()


def _apply_again(job: GatedJob, shuffle: str, *open_gates: str) -> GatedJob:
    """The same job under the same name, whose gates and notes are new."""
    job.stage.files.remove(f"gates/{job.name}")
    return job.stage.start(job.name, shuffle, *open_gates, replicas=1)


@pytest.mark.parametrize(
    ("name", "shuffle", "gates", "place"),
    [
        pytest.param("again-mapping", "Shared", ("map-begin",), "map-end", id="mapping"),
        pytest.param(
            "again-reducing", "Peer", ("map-begin", "map-end"), "reduce-begin", id="reducing", marks=pytest.mark.full
        ),
    ],
)
def test_a_job_deleted_at_work_leaves_its_output_folder_to_the_same_job_applied_again(
    stage: Stage, tmp_path: Path, name: str, shuffle: str, gates: tuple[str, ...], place: str
) -> None:
    job = stage.start(name, shuffle, *gates, replicas=1)
    job.until_at(place)
    assert clusterjobs.OWNER_RECORD in job.output()
    stage.namespace.delete("mapreducejob", name)
    assert _entries(job) == []
    _apply_again(job, shuffle, "all").check_complete(tmp_path)


def test_a_job_whose_coordinator_finds_no_node_is_deleted_at_once_and_runs_when_it_is_applied_right(
    stage: Stage, tmp_path: Path
) -> None:
    nowhere = {"podTemplate": {"spec": {"nodeSelector": {"no": "such-node"}}}}
    job = stage.start("unscheduled", "Shared", "all", replicas=1, coordinator=nowhere)

    def is_unschedulable(found: Object) -> bool:
        return bool(condition(found, "CoordinatorReady").get("reason") == "Unschedulable")

    stage.namespace.until("mapreducejob", job.name, "is Unschedulable", is_unschedulable)
    stage.namespace.delete("mapreducejob", job.name)
    _apply_again(job, "Shared", "all").check_complete(tmp_path)
