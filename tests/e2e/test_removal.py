"""What goes with a namespace whose jobs are at work, and with a job whose log was on a claim that a person made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clusterjobs
from tests.support.claimfiles import claim, read_claim
from tests.support.gatedjobs import staged
from tests.support.kubecalls import Namespace, own_namespace

FINALIZER = "mapreduce.dev/runs"
GONE_WITHIN_S = 120.0


@pytest.mark.parametrize(
    "shuffle", ["Shared", pytest.param("Peer", marks=pytest.mark.full)]
)  # workers with Peer stay half of their grace, for copies that nobody takes any more
def test_a_namespace_with_jobs_in_every_state_is_deleted_and_nothing_is_stuck(
    namespace: Namespace, shuffle: str
) -> None:
    """One of them has its log on a given claim, and nothing can be made any more that would tidy up there."""
    with own_namespace(namespace.cluster, f"{namespace.name}-goes") as going:
        with staged(going) as stage:
            mapping = stage.start("mapping", "Shared", "map-begin")
            reducing = stage.start("reducing", shuffle, "map-begin", "map-end")
            given = stage.start("given", "Shared", "map-begin", storage=_given("logs"))
            going.apply(claim("logs"), clusterjobs.job("blocked", texts=["a\n"], image="localhost/no-such-image:1"))
            mapping.until_at("map-end", 1)
            reducing.until_at("reduce-begin", 1)
            given.until_at("map-end", 1)
        assert FINALIZER in going.get("mapreducejob", "given")["metadata"]["finalizers"]
        waiting = f"--timeout={GONE_WITHIN_S:.0f}s"
        going.cluster.kubectl("delete", "namespace", going.name, waiting, timeout_s=GONE_WITHIN_S + 10)
        assert going.cluster.kubectl("get", "namespaces", "--output", "name").find(f"/{going.name}\n") == -1


def test_a_deleted_job_takes_its_runs_off_a_claim_that_was_given_to_it_and_leaves_its_output(
    namespace: Namespace, tmp_path: Path
) -> None:
    namespace.apply(claim("logs"))
    manifest = clusterjobs.job("tidy", texts=["a b a\n"], storage=_given("logs"))
    namespace.apply(manifest)
    ended = clusterjobs.await_complete(namespace, "tidy")
    assert read_claim(namespace, "logs", "") != {}
    clusterjobs.delete_and_check(namespace, ended)
    assert read_claim(namespace, "logs", "") == {}
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, tmp_path)


def _given(name: str) -> dict[str, object]:
    return {"shuffle": "Shared", "log": {"claimName": name}}
