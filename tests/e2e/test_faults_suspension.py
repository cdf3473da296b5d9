"""Suspended and resumed, made larger and smaller amid the work: what is committed stays, nothing is done again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from tests.support import clusterjobs
from tests.support.gatedjobs import MAPS, REDUCES, GatedJob, Stage

OTHER_FIRST = [pytest.param("Peer", id="peer"), pytest.param("Shared", id="shared", marks=pytest.mark.full)]


@pytest.mark.parametrize("shuffle", OTHER_FIRST)
def test_a_job_suspended_amid_its_maps_commits_what_ends_in_time_and_goes_on_with_the_rest(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    job = stage.start(f"rest-map-{shuffle.lower()}", shuffle, "map-begin")
    job.until_at("map-end", 2)
    with never_falling(job):
        workers = job.pods("worker", 2)
        job.patch(suspend=True)
        job.until_told_to_end(*workers)
        job.open("map-end")  # both end while their workers have to go
        suspended = job.until_condition("Suspended")
        assert pods_left(job) == []
        assert suspended["status"]["maps"]["committed"] == 2
        job.patch(suspend=False)
        job.until_at("reduce-begin", 2)
        job.until_said(f"goes on: 2 of {MAPS} maps and 0 of {REDUCES} reduces are committed already")
        job.open("all")
        job.check_complete(tmp_path)
    job.check_begun_once()


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
def test_a_job_suspended_amid_its_reduces_keeps_all_maps_and_what_was_reduced(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    job = stage.start(f"rest-reduce-{shuffle.lower()}", shuffle, "map-begin", "map-end", "reduce-0@reduce-begin")
    job.until_at("reduce-begin", 2)
    job.until_committed(maps=MAPS, reduces=1)
    with never_falling(job):
        job.patch(suspend=True)
        job.until_condition("Suspended")
        assert pods_left(job) == []
        job.patch(suspend=False)
        job.until_at("reduce-begin", 3)
        job.open("all")
        job.check_complete(tmp_path)
    begun = job.begun()
    assert (begun.pop("reduce-1"), set(begun.values())) == (2, {1})


@pytest.mark.parametrize("shuffle", OTHER_FIRST)
def test_workers_that_are_too_many_hand_over_their_work_before_they_go(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    """One worker, four, one: three maps are committed by workers that are gone when the reduces read them."""
    job = stage.start(f"scale-{shuffle.lower()}", shuffle, "map-begin", replicas=1)
    job.until_at("map-end", 1)
    job.namespace.kubectl("scale", f"mapreducejob/{job.name}", "--replicas=4")
    job.until_at("map-end", MAPS)
    job.namespace.kubectl("scale", f"mapreducejob/{job.name}", "--replicas=1")
    job.namespace.until(
        "mapreducejob", job.name, "wants one worker", lambda it: it["status"]["workers"]["desired"] == 1
    )
    job.open("map-end")
    job.until_at("reduce-begin", 1)
    job.namespace.until(
        "mapreducejob", job.name, "has one worker", lambda it: it["status"]["workers"].get("ready") == 1
    )
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert [begun[f"map-{index}"] for index in range(MAPS)] == [1] * MAPS


def pods_left(job: GatedJob) -> list[str]:
    """Pods of the job, in whatever state, that have not ended."""
    listed = job.namespace.listed("pods", clusterjobs.labels_of(job.found()))
    return [pod["metadata"]["name"] for pod in listed if pod["status"]["phase"] not in {"Succeeded", "Failed"}]


@contextmanager
def never_falling(job: GatedJob) -> Iterator[None]:
    """Watches what the job says of its committed tasks meanwhile: it only rises."""
    seen: list[tuple[int, ...]] = []
    stop = Event()

    def watch() -> None:
        while not stop.wait(0.5):
            status = job.found()["status"]
            seen.append(tuple(status.get(kind, {}).get("committed", 0) for kind in ("maps", "reduces")))

    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(watch)
        try:
            yield
        finally:
            stop.set()
        watching.result()
    assert seen == sorted(seen)
