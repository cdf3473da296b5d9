"""`mr run` over inputs behind URLs: workers fetch the ranges of their splits."""

from __future__ import annotations

from pathlib import Path

from tests.support.documentserver import DocumentServer, serving_a_document
from tests.support.mrruns import mr

JOB = """
def mapper(offset, line):
    yield int(line.split()[1]), 1

def reducer(number, counts):
    yield number, sum(counts)
"""


def fetched(server: DocumentServer) -> list[str]:
    """The ranges that were asked for, in order; not the look at the beginning."""
    return [seen["range"] for seen in server.seen if seen.get("range", "") not in {"", "bytes=0-0"}]


def test_a_document_is_cut_into_splits_and_every_line_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    with serving_a_document() as server:
        url = server.url.partition("?")[0]
        mr("run", "job.py", url, "-o", "out", "--split-size", "2000", "--reducers", "1", cwd=tmp_path)
    lines = (tmp_path / "out" / "part-00000").read_text().splitlines()
    assert lines == [f"{number}\t1" for number in range(1_000)]
    assert len(set(fetched(server))) > 3


def test_an_input_that_takes_long_to_come_is_not_handed_to_and_fro_between_idle_workers(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    with serving_a_document() as server:
        server.pause_s = 2.5  # two heartbeats and more
        mr("run", "job.py", server.url, "-o", "out", "--workers", "2", "--reducers", "1", cwd=tmp_path)
    assert len(fetched(server)) == 1


def test_a_document_that_goes_away_after_planning_fails_the_job_with_its_address(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    with serving_a_document() as server:
        server.gone_after = 1
        done = mr("run", "job.py", server.url, "-o", "out", "--reducers", "1", cwd=tmp_path, check=1)
    assert "410" in done.stdout + done.stderr
    assert "/a/data.txt" in done.stdout + done.stderr
