"""`mr init` at a terminal, and the new job's own test with everything that is killed in it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.support.mrruns import DEADLINE_S, mr_command


def test_three_questions_make_a_job_whose_own_tests_pass(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"2\nsum\n\n")
        done = subprocess.run(
            mr_command("init", "hits"), stdin=theirs, capture_output=True, text=True, cwd=tmp_path, check=False,
            timeout=DEADLINE_S,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "1. What are the records?" in done.stderr
    assert "wrote hits/job.py" in done.stdout
    assert 'job("hits", format="jsonl")' in (tmp_path / "hits" / "job.py").read_text()
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mapreduce.pytest_plugin", "-c", os.devnull, "--rootdir", "."],
        cwd=tmp_path / "hits",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in tested.stdout, tested.stdout + tested.stderr
