"""Metrics of a coordinator: Prometheus' text, and what is counted from records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.coordinator.metrics import Metrics
from tests.support.simjobs import SimJob
from tests.support.simulation import Simulation, simulate

SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? [0-9.e+-]+')


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulation]:
    with simulate(tmp_path) as made:
        made.run_until(lambda: made.network.server is not None)
        yield made


def text_of(sim: Simulation) -> str:
    metrics = Metrics()
    for record in sim.seen_records:
        metrics.count(record)
    return metrics.text(sim.service, 3)


def samples(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    }


def test_a_coordinator_without_a_job_has_every_metric_already(sim: Simulation) -> None:
    text = text_of(sim)
    told = samples(text)
    assert told['mapreduce_tasks{kind="map",state="pending"}'] == 0
    assert told["mapreduce_epoch"] == 1
    assert told["mapreduce_replicas_pending"] == 3
    assert [line for line in text.splitlines() if not line.startswith("#") and SAMPLE.fullmatch(line) is None] == []


def test_each_metric_is_described_once_and_before_its_samples(sim: Simulation) -> None:
    described: list[str] = []
    for line in text_of(sim).splitlines():
        if line.startswith("# HELP "):
            described.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == described[-1]
        else:
            assert line.startswith(described[-1])
    assert len(described) == len(set(described))


def test_a_job_is_counted_by_task_failure_and_lease(sim: Simulation) -> None:
    sim.failures[("map", 0, 1)] = "user"
    victim = sim.add_worker(task_s=5.0)
    number = sim.submit(SimJob(lease_s=2))
    sim.run_until(lambda: bool(victim.began))
    victim.kill()
    sim.add_worker()
    sim.run_until(lambda: sim.is_over(number))
    told, job = samples(text_of(sim)), sim.job(number)
    assert told['mapreduce_tasks{kind="map",state="committed"}'] == job.maps.count
    assert told['mapreduce_task_seconds_count{kind="map"}'] == job.maps.count
    assert told['mapreduce_task_seconds_bucket{kind="map",le="+Inf"}'] == job.maps.count
    assert told["mapreduce_leases_lost_total"] > 0
    assert told["mapreduce_input_bytes"] == job.input_bytes
    sim.finish()


def test_buckets_of_a_histogram_never_fall(sim: Simulation) -> None:
    sim.add_worker(task_s=0.3)
    sim.add_worker(task_s=7.0)
    number = sim.submit(SimJob())
    sim.run_until(lambda: sim.is_over(number))
    for kind in ("map", "reduce"):
        pattern = re.compile(rf'mapreduce_task_seconds_bucket{{kind="{kind}",le="[^"]*"}} ([0-9]+)')
        counts = [int(count) for count in pattern.findall(text_of(sim))]
        assert counts == sorted(counts)
        assert counts[-1] > 0
    sim.finish()
