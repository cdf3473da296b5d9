"""A straggler in real processes: its backup attempt ends the job, and of the straggler nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.killing import until_quiet
from tests.support.mrruns import mr, names_below, parts

#: The first attempt of one task of a kind never ends by itself; all others do at once.
CODE = """
import time

def hang(ctx, kind):
    while ctx.args.get("hangs") == kind and ctx.attempt == 1:
        time.sleep(0.05)

def mapper(line, ctx):
    if line.startswith("hang"):
        hang(ctx, "map")
    for word in line.split():
        yield word, 1

def reducer(word, counts, ctx):
    if word == "hang":
        hang(ctx, "reduce")
    yield word, sum(counts)
"""


@pytest.mark.parametrize("kind", ["map", "reduce"])
@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
def test_c13_a_task_that_hangs_on_one_worker_is_finished_by_another(tmp_path: Path, kind: str, shuffle: str) -> None:
    (tmp_path / "job.py").write_text(CODE)
    (tmp_path / "text").write_text("a b c d\n" * 20 + "hang on\n" + "a b c d\n" * 20)
    arguments = ("run", "job.py", "text", "--split-size", "40", "--reducers", "3")
    mr(*arguments, "-o", "oracle", "--sequential", cwd=tmp_path)
    asked = ("--workers", "2", "--speculation", "Stragglers", "--shuffle", shuffle, "--arg", f"hangs={kind}")
    done = mr(*arguments, "-o", "out", *asked, cwd=tmp_path)
    assert parts(tmp_path / "out") == parts(tmp_path / "oracle")
    assert "backups  1 attempt beside tasks that took far longer than the others" in done.stdout
    assert "BackupsGranted" in mr("wal", "dump", "out", cwd=tmp_path).stdout
    assert mr("wal", "verify", "out", cwd=tmp_path).stdout.startswith("sound:")
    until_quiet(tmp_path)
    assert not [name for name in names_below(tmp_path / "out") if name.endswith((".run", ".out", ".trace", ".tmp"))]
