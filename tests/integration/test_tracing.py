"""Traces of real runs: sent by the coordinator at the end, and again by `mr trace`, with the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.mrruns import WORD_COUNT, mr


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "wc.py").write_text(WORD_COUNT)
    (tmp_path / "a.txt").write_text("a rose is a rose\n" * 100)
    return tmp_path


def test_a_run_sends_its_trace_when_it_ends_and_mr_trace_sends_the_same_one(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        mr("run", "wc.py", "a.txt", "-o", "out", "--workers", "1", "--split-size", "500", "--no-page", cwd=work)
        sent = collector.spans
        assert [span["name"] for span in sent if "parentSpanId" not in span] == ["job wc"]
        assert sum(span["name"].startswith("map-") for span in sent) == 4
        assert sum(span["name"].startswith("reduce-") for span in sent) == 1
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        collector.requests.clear()
        said = mr("trace", "out", "--otlp", collector.url, cwd=work).stdout
    assert f"trace {sent[0]['traceId']} of job 'wc' sent" in said
    assert {span["spanId"] for span in collector.spans} == {span["spanId"] for span in sent}


def test_a_collector_that_is_away_is_a_line_in_the_log_and_no_failure(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    done = mr("run", "wc.py", "a.txt", "-o", "out", "--workers", "1", "--no-page", cwd=work)
    assert (
        "The trace of job 1 was not sent: the collector at http://127.0.0.1:9/v1/traces cannot be reached"
        in done.stderr
    )
    assert "cannot be reached" in mr("trace", "out", "--otlp", "http://127.0.0.1:9", cwd=work, check=3).stderr
