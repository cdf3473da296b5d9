"""Jobs deleted in each phase: nothing of them stays but their output."""

from __future__ import annotations

from pathlib import Path

from tests.support import clusterjobs
from tests.support.gatedjobs import CLAIM, Stage

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
