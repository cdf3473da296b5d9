"""The benchmark harness drives the real command line: a small run, so that it does not break unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="the harness reads /proc")
def test_a_small_word_count_runs_and_agrees_with_the_hand_written_peer(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "a.txt").write_text("the quick brown fox\njumps over\nthe lazy dog\n")
    options = ["--suite", "wordcount", "--size-mib", "0.05", "--runs", "1", "--peers", "py-mp-2"]
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", *options, "--seed-texts", str(seeds)],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["report"]
    assert {name: score["end"] for name, score in report["contestants"].items()} == {
        "mr-pairs-sum": "ok",
        "mr-keys-count": "ok",
        "py-mp-2": "ok",
    }
    assert report["results_agree"]
    assert report["contestants"]["py-mp-2"]["result"]["words"] == 8
    assert set(report["contestants"]["mr-pairs-sum"]["step_s"]) >= {"map", "reduce"}
    assert not list((tmp_path / "cache" / "mapreduce-bench").glob("work-*"))
