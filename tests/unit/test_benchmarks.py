"""The benchmark harness: what it would report wrongly without anybody noticing. No time is measured here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.answers import count_of_counts, nothing
from benchmarks.bench import clean_environment
from benchmarks.caching import cached_folder
from benchmarks.contest import Contestant, Rules, hold_contest, ratio
from benchmarks.contestants import coordinator_and_workers
from benchmarks.corpora import make_corpus, make_lines
from benchmarks.measure import Measured, Process
from benchmarks.run import SUITES, peers_of
from tests.support.tree import ROOT

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the harness reads /proc")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    folder = tmp_path / "seeds"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"the quick brown fox\njumps over\r\n\xff not UTF-8\nthe lazy dog\n")
    return folder


def test_a_half_finished_cache_entry_is_built_again() -> None:
    calls: list[int] = []

    def build(folder: Path) -> None:
        calls.append(len(list(folder.iterdir())))
        (folder / "file").touch()
        if len(calls) == 1:
            raise OSError("killed in the middle")

    with pytest.raises(OSError, match="killed"):
        cached_folder("entry", build)
    cached_folder("entry", build)
    cached_folder("entry", build)
    assert calls == [0, 0]


@pytest.mark.parametrize("kind", ["text", "keys"])
def test_the_same_corpus_has_the_same_bytes_wherever_it_is_made(
    kind: str, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_corpus(kind, 0.1, seeds)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    second = make_corpus(kind, 0.1, seeds)
    assert first.name == second.name
    assert first.files != second.files
    assert [path.read_bytes() for path in first.files] == [path.read_bytes() for path in second.files]
    assert 0.09 < first.mib <= 0.1


def test_other_seed_texts_make_another_corpus(seeds: Path) -> None:
    first = make_corpus("text", 0.01, seeds)
    (seeds / "b.txt").write_text("one more line\n")
    assert make_corpus("text", 0.01, seeds).name != first.name


def test_lines_have_one_length_so_that_each_is_one_split() -> None:
    (path,) = make_lines(1_234).files
    assert {len(line) for line in path.read_bytes().splitlines(keepends=True)} == {8}
    assert path.stat().st_size == 1_234 * 8


def test_a_ratio_is_the_median_over_rounds_that_both_finished() -> None:
    ours = {0: _run(1.0), 1: _run(2.0), 2: _run(1.0), 3: _run(1.0)}
    peer = {0: _run(3.0), 1: _run(2.0), 2: _run(2.0), 3: _run(9.0, end="timeout")}
    assert ratio(ours, peer) == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert ratio(ours, {}) == {}


@linux_only
def test_contestants_take_turns_and_their_results_are_compared(tmp_path: Path) -> None:
    report = hold_contest(
        _rules(tmp_path),
        [
            Contestant("ours", lambda output: _shell(f"echo ours >&2; echo 'a\t2' > {output}/x"), is_ours=True),
            Contestant("peer", lambda output: _shell(f"mkdir {output}/out; echo '\"a\"\t2' > {output}/out/y")),
            Contestant("absent", lambda output: _shell("exit 9"), missing="not installed"),
        ],
        input_bytes=1 << 20,
        read_output=count_of_counts,
    )
    assert report["results_agree"] is True
    assert report["skipped"] == {"absent": "not installed"}
    assert list(report["ratios"]) == ["ours / peer"]
    assert {name: score["runs"] for name, score in report["contestants"].items()} == {"ours": 2, "peer": 2}
    assert report["contestants"]["ours"]["result"] == {"words": 1, "total": 2}


@linux_only
def test_a_contestant_that_counts_otherwise_or_fails_is_reported(tmp_path: Path) -> None:
    report = hold_contest(
        _rules(tmp_path),
        [
            Contestant("two", lambda output: _shell(f"echo 'a\t2' > {output}/x"), is_ours=True),
            Contestant("three", lambda output: _shell(f"echo 'a\t3' > {output}/x")),
            Contestant("fails", lambda output: _shell("exit 7")),
        ],
        input_bytes=1,
        read_output=count_of_counts,
    )
    assert report["results_agree"] is False
    assert report["contestants"]["fails"]["end"] == "exit 7"
    assert report["contestants"]["fails"]["runs"] == 1
    assert report["ratios"]["two / fails"] == {}


@linux_only
def test_a_measured_run_leaves_no_daemon_behind_and_touches_no_other_child(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    note = tmp_path / "pid"
    daemon = Contestant("daemon", lambda _: _shell(f"(setsid sleep 60 & echo $! > {note})"))
    hold_contest(_rules(tmp_path), [daemon], input_bytes=1, read_output=nothing)
    assert not Path(f"/proc/{note.read_text().strip()}").exists()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_executors_count_with_their_agent_and_the_coordinator_by_itself() -> None:
    mr, worker = "python .venv/bin/mr run job.py", "python -m mapreduce_worker"
    living = {
        10: Process(10, 1, mr),
        11: Process(11, 10, f"{worker} --dir state"),
        12: Process(12, 11, f"{worker}.executor --socket s"),
        13: Process(13, 10, f"{worker} --dir state"),
        14: Process(14, 12, "sleep of user code"),
    }
    groups = {10: "coordinator", 11: "worker-1", 12: "worker-1", 13: "worker-2", 14: "worker-1"}
    assert coordinator_and_workers(living) == groups


def test_peers_are_chosen_by_name() -> None:
    assert peers_of("none") == ()
    assert peers_of("py-mp-2,dask-noop") == ("py-mp-2", "dask-noop")
    with pytest.raises(SystemExit, match="hadoop unknown"):
        peers_of("hadoop")


def test_every_suite_has_its_section_in_the_page_of_figures() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    assert [suite for suite in SUITES if f"SUITE={suite}" not in page] == []


def test_the_measured_environment_is_not_that_of_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    assert "PYTHONDEVMODE" not in clean_environment()
    assert clean_environment()["PATH"] == os.environ["PATH"]


def _run(wall_s: float, end: str = "ok") -> Measured:
    return Measured(wall_s=wall_s, cpu_s=0.0, peak_pss_bytes=0, end=end, started_at_s=0.0)


def _rules(work: Path) -> Rules:
    return Rules(runs=2, timeout_s=30, budget_s=30, work=work, environment=clean_environment())


def _shell(script: str) -> list[str]:
    return ["sh", "-c", script]
