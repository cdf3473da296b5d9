"""`mr why` of a real run: while it goes on, when it was killed, when its log is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mrruns import GatedJob, mr


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
    damage(job.out / "_mapreduce" / "log")
    answer = why(job)
    assert answer["reason"] == "WALCorrupt"
    assert "damaged below what was acknowledged" in str(answer["sentence"])
