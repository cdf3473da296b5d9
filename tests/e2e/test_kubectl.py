"""A job as people see it who have nothing but kubectl: explained, waited for, listed, scaled."""

from __future__ import annotations

import pytest

from cluster.errors import CommandFailed
from cluster.nodes import Cluster
from tests.support import clusterjobs
from tests.support.kubecalls import Namespace


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("mapreducejob", "MapReduceJob"),
        ("mapreducejob.spec", "FIELDS"),
        ("mapreducejob.spec.workers.replicas", "<integer>"),
        ("mapreducejob.spec.inputs.uri", "pvc://"),
        ("mapreducejob.status.conditions", "<[]Object>"),
    ],
)
def test_kubectl_explains_every_level(operator: Cluster, path: str, words: str) -> None:
    said = operator.kubectl("explain", path)
    assert words in said
    assert "<empty>" not in said


def test_kubectl_waits_for_the_end_and_lists_what_became_of_jobs(namespace: Namespace) -> None:
    broken = clusterjobs.job("broken", code="import no_such_module\n", texts=["a\n"], output="pvc://output/broken")
    namespace.apply(clusterjobs.job("counts", texts=["a b a\n"]), broken)
    for name in ("counts", "broken"):  # Finished comes true either way
        waiting = ("wait", "--for=condition=Finished", "--timeout=240s", f"mapreducejob/{name}")
        namespace.kubectl(*waiting, timeout_s=250)
    namespace.kubectl("wait", "--for=condition=Complete", "--timeout=5s", "mrj/counts")
    with pytest.raises(CommandFailed, match="timed out"):
        namespace.kubectl("wait", "--for=condition=Complete", "--timeout=1s", "mrj/broken")
    head, *rows = namespace.kubectl("get", "mapreducejobs").splitlines()
    assert head.split() == ["NAME", "STATUS", "MAPS", "REDUCES", "WORKERS", "FAILED", "AGE"]
    listed = {row.split()[0]: row.split() for row in rows}
    assert listed["counts"][1:4] == ["Complete", "1/1", "2/2"]
    assert listed["broken"][1] == "Failed"
    head, *rows = namespace.kubectl("get", "mapreducejobs", "--output", "wide").splitlines()
    assert head.split()[-3:] == ["SHUFFLE", "OUTPUT", "MESSAGE"]
    (row,) = (row for row in rows if row.startswith("counts"))
    assert "pvc://output/counts" in row
    (row,) = (row for row in rows if row.startswith("broken"))
    assert "no_such_module" in row
    failed = namespace.kubectl("get", "events", "--field-selector=involvedObject.name=broken,type=Warning")
    assert "InvalidCode" in failed
