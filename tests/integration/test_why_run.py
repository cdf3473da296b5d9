"""`mr why` of a real run: while it goes on, when it was killed, when its log is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import start_coordinator, submit
from tests.support.mrruns import GATED, GatedJob, mr, until
from tests.support.steppedjobs import stepped_job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[GatedJob]:
    made = GatedJob(tmp_path)
    yield made
    made.end()


def why(job: GatedJob) -> dict[str, object]:
    answer = json.loads(mr("why", "out", "-o", "json", cwd=job.folder).stdout)
    assert isinstance(answer, dict)
    return answer


def damage(log: Path) -> None:
    """Alter a byte in the middle of what is surely durable: the first segment's early records."""
    segment = min(path for path in log.iterdir() if path.is_file() and path.stat().st_size > 2_000)
    content = bytearray(segment.read_bytes())
    content[600] ^= 0xFF
    segment.write_bytes(content)


def test_a_run_is_asked_while_it_goes_on_and_its_log_once_it_was_killed(job: GatedJob) -> None:
    running = job.start()
    job.until_only_the_gated_is_left(running)
    assert "Maps: 7 of 8 committed, 1 leased" in str(why(job)["sentence"])
    running.kill_everything()
    answer = why(job)
    assert answer["sentence"] == "Nobody runs it: it was stopped while mapping, with 7 of 10 tasks committed"
    assert "goes on where its log ends" in str(answer["fix"])
    (job.out / "_SUCCESS").write_text("{}")
    assert "result is published" in str(why(job)["sentence"])
    (job.out / "_SUCCESS").unlink()
    damage(job.out / "_mapreduce" / "log")
    answer = why(job)
    assert answer["reason"] == "WALCorrupt"
    assert "damaged below what was acknowledged" in str(answer["sentence"])


def test_a_map_that_outlasts_all_others_is_named_with_its_worker(job: GatedJob) -> None:
    running = job.start()
    job.until_only_the_gated_is_left(running)
    until(lambda: "Waits for map-7, running for" in str(why(job)["sentence"]), "a straggler", running.story)
    answer = why(job)
    assert "times the median" in str(answer["sentence"])
    assert "smaller splits help" in str(answer["fix"])


def test_a_key_that_holds_almost_everything_is_told_before_a_reduce_begins(job: GatedJob) -> None:
    # Five of eight maps wait: with so few that have ended nobody can be called late.
    for index in range(3, 8):
        (job.folder / f"{index}.txt").write_text(f"gate number {index} of the words\n")
    (job.folder / "gated.py").write_text(GATED.replace("yield word, 1", 'yield "hot", os.urandom(200_000).hex()'))
    running = job.start()
    until(lambda: running.committed_maps() == 3, "three committed maps", running.story)
    answer = why(job)
    assert "1 of 2 reduce tasks holds 100 % of the bytes" in str(answer["sentence"])
    assert "combiner" in str(answer["fix"])


def test_a_job_that_nobody_works_on_waits_for_workers() -> None:
    with stepped_job() as job:
        start_coordinator(job)
        submit(job)

        def sentence() -> str:
            return str(json.loads(mr("why", "1", "--dir", "state", "-o", "json", cwd=job.root).stdout)["sentence"])

        until(lambda: "Waits for workers:" in sentence(), "a word about workers", job.story)
        assert "no worker is registered" in sentence()
