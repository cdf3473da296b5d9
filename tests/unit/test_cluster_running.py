"""Programs run for the cluster: what they said is kept, and they end in time, with their children."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.caching import cache_root
from cluster.errors import ClusterError, CommandFailed
from cluster.running import logged, output, step, wait_until


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_output_is_what_the_program_prints() -> None:
    assert output(["echo", "hello"], timeout_s=10) == "hello\n"


def test_a_program_gets_its_input_from_bytes_or_a_file_and_else_none(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("from a file")
    assert output(["cat"], timeout_s=10, given=b"bytes") == "bytes"
    assert output(["cat"], timeout_s=10, given=tmp_path / "given") == "from a file"
    assert output(["cat"], timeout_s=10) == ""


def test_the_environment_is_added_to_the_machines() -> None:
    path, added = output(["sh", "-c", "echo $PATH; echo $ADDED"], timeout_s=10, env={"ADDED": "x"}).split()
    assert (path, added) == (os.environ["PATH"], "x")


def test_a_failure_tells_the_program_its_exit_code_and_what_it_said() -> None:
    with pytest.raises(CommandFailed) as failed:
        output(["sh", "-c", "echo the reason >&2; exit 7"], timeout_s=10)
    assert failed.value.exit_code == 7
    assert "the reason" in str(failed.value)


def test_a_program_that_is_not_there_is_a_failure_that_names_it() -> None:
    with pytest.raises(CommandFailed, match="no-such-program is not there"):
        output(["no-such-program"], timeout_s=10)


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(CommandFailed, match="its time was up") as failed:
        logged(["sh", "-c", script], tmp_path / "log", timeout_s=0.5)
    assert failed.value.exit_code is None
    wait_until("the child is gone", _is_gone(int((tmp_path / "child").read_text())), timeout_s=10, every_s=0.01)


def test_a_log_keeps_all_and_the_error_only_what_its_own_program_said(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logged(["echo", "before"], log, timeout_s=10)
    with pytest.raises(CommandFailed) as failed:
        logged(["sh", "-c", "echo after; false"], log, timeout_s=10)
    assert "before" not in str(failed.value)
    assert "after" in str(failed.value)
    assert re.findall("before$|after$", log.read_text(), re.MULTILINE) == ["before", "before", "after"]


def test_a_step_prints_one_line_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with step("build it") as log:
        assert log == cache_root() / "logs" / "build-it.log"
    assert re.fullmatch(r" +\d+\.\d s  build it\n", capsys.readouterr().err)


def test_a_step_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClusterError), step("build it"):
        raise ClusterError("no")
    assert capsys.readouterr().err.endswith("build it: failed\n")


def test_waiting_ends_with_the_first_yes() -> None:
    answers = iter([False, True, False])
    wait_until("a yes", answers, timeout_s=10, every_s=0)
    assert list(answers) == [False]


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(ClusterError, match="a yes: not within 0 s"):
        wait_until("a yes", iter([False, False]), timeout_s=0, every_s=0)


def _is_gone(process_id: int) -> Iterator[bool]:
    """Whether a process has ended, again and again; a zombie whose new parent has not fetched it yet has."""
    stat = Path(f"/proc/{process_id}/stat")
    while stat.exists():
        yield stat.read_text().rsplit(") ", 1)[1][0] == "Z"
    yield True
