"""What time does to a job: a deadline ends it, and when it is over it goes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clusterjobs
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, condition


@pytest.mark.full
def test_a_job_whose_time_is_up_fails_and_stops(namespace: Namespace) -> None:
    namespace.apply(clusterjobs.slow_job("late", maps=4, seconds_per_map=600, activeDeadlineSeconds=15))
    ended = clusterjobs.await_end(namespace, "late")
    failed = condition(ended, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "DeadlineExceeded")
    namespace.until_gone("pods", f"{clusterjobs.labels_of(ended)},app.kubernetes.io/component=worker")


@pytest.mark.full
def test_a_finished_job_goes_away_after_its_time_and_leaves_its_output(namespace: Namespace, tmp_path: Path) -> None:
    manifest = clusterjobs.job("brief", texts=["a b a\n"], ttlSecondsAfterFinished=3)
    namespace.apply(manifest)
    job = namespace.get("mapreducejob", "brief")
    namespace.until_gone("mapreducejobs", "")
    namespace.until_gone(clusterjobs.CHILDREN, clusterjobs.labels_of(job))
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, tmp_path)
