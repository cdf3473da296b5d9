"""`mapreduce.testing` with real processes: the whole engine, the kills, and the pytest plugin as users have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.errors import JobFailed
from mapreduce.testing import assert_output, kill_anything, run_job
from tests.support.tree import ROOT

WORDCOUNT = ROOT / "examples" / "wordcount.py"


def test_the_whole_engine_gives_the_same_and_names_a_failure(tmp_path: Path) -> None:
    assert_output(run_job(WORDCOUNT, ["a b", "a"], engine="workers", splits=2), {"a": 2, "b": 1})
    (tmp_path / "job.py").write_text("def mapper(line):\n    raise ValueError('no ' + line)\n")
    with pytest.raises(JobFailed, match="ValueError: no record"):
        run_job(tmp_path / "job.py", ["record"], engine="workers", workers=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_job_survives_what_is_killed_and_the_report_says_what_was(seed: int) -> None:
    report = kill_anything(WORDCOUNT, ["a b a"] * 500, seed=seed, kills=3)
    assert_output(report.outcome, {"a": 1_000, "b": 500})
    assert 1 <= len(report.kills) <= 3
    deaths = [kill.startswith("coordinator") for kill in report.kills]
    # The last one may come when all is published: there is nothing to go on with then.
    assert report.starts - 1 in {sum(deaths), sum(deaths[:-1])}


def test_a_job_whose_code_is_not_deterministic_fails_the_test_of_kills(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import os\ndef mapper(line):\n    yield line, os.getpid()\n")
    with pytest.raises(AssertionError, match="the first is the run with kills"):
        kill_anything(tmp_path / "job.py", ["a"] * 100, kills=1)


def test_the_examples_test_runs_with_the_plugin() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "mapreduce.pytest_plugin", "-p", "no:cacheprovider"),
            *("-c", "/dev/null", "--rootdir", str(ROOT / "examples"), str(ROOT / "examples" / "tests")),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "examples",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_the_plugin_imports_nothing_heavy_before_it_is_used() -> None:
    program = "import sys, mapreduce.pytest_plugin; print('msgspec' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
