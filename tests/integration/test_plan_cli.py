"""`mr plan` beside what then happens: predicted on a sample, run, and compared from `_SUCCESS`."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.support.mrruns import WORD_COUNT, mr


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rng = random.Random(1)
    (tmp_path / "wc.py").write_text(WORD_COUNT)
    (tmp_path / "in").mkdir()
    for name in "abcd":
        lines = (" ".join(f"w{int(rng.paretovariate(0.7)) % 50_000}" for _ in range(10)) for _ in range(8_000))
        (tmp_path / "in" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_plan_is_compared_with_what_happened(work: Path) -> None:
    arguments = ["wc.py", "in", "-o", "out", "--workers", "2", "--reducers", "3", "--split-size", "512KiB"]
    planned = mr("plan", *arguments, "--sample", "512k", cwd=work).stdout
    assert re.search(r"tried on a sample of 5\d\d KiB", planned)
    assert "reduce   3 tasks" in planned
    assert not (work / "out").exists(), "a plan writes nothing"
    mr("run", *arguments, "--no-page", cwd=work)
    compared = mr("plan", "--compare", "out", "--sample", "512k", cwd=work).stdout
    rows = {line[2:18].strip(): line.split()[-1] for line in compared.splitlines()[2:]}
    assert rows["maps"] == rows["reduces"] == "+0%"
    for what in ("runs", "output", "output records"):
        assert abs(int(rows[what].rstrip("%"))) <= 40, compared


def test_a_volume_that_is_too_small_is_refused(work: Path) -> None:
    refused = mr("plan", "wc.py", "in", "--volume", "10k", "--sample", "64k", cwd=work, check=2)
    assert "the volume is too small" in refused.stderr
    assert "time     about" in refused.stdout, "the plan is shown all the same"


def test_functions_that_fail_on_the_sample_are_told_as_a_failed_job(work: Path) -> None:
    (work / "bad.py").write_text("def mapper(line):\n    raise ValueError('no')\n")
    failed = mr("plan", "bad.py", "in", cwd=work, check=1)
    assert "the mapper raised ValueError: no" in failed.stderr
    assert "byte 0" in failed.stderr


def test_what_cannot_be_planned_is_said_in_words(work: Path) -> None:
    assert "no job is given" in mr("plan", cwd=work, check=2).stderr
    assert "no input is given" in mr("plan", "wc.py", cwd=work, check=2).stderr
    assert "holds no finished result" in mr("plan", "--compare", "in", cwd=work, check=2).stderr
