"""Processes that tests fork are in all that a test sees what new ones would be."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import Forked

SHOWS = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), sys.path[0]]))
print("to stderr", file=sys.stderr)
sys.exit(7)
"""
WAITS = """
import time
print("waits", flush=True)
time.sleep(600)
"""
#: Whoever started the tests may have had them ignore it.
INTERRUPTS_ITSELF = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
"""


def start(folder: Path, code: str, *arguments: str, **options: object) -> Forked:
    (folder / "given.py").write_text(code)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Forked("given", *arguments, cwd=folder, text=True, **pipes, **options)


def test_it_has_its_own_arguments_folder_environment_streams_and_exit_code(tmp_path: Path) -> None:
    process = start(tmp_path, SHOWS, "a b", "é", env={"ONLY": "this"})
    out, err = process.communicate(timeout=30)
    assert out == f'[["a b", "\\u00e9"], "{tmp_path}", {{"ONLY": "this"}}, "{tmp_path}"]\n'
    assert (err, process.returncode) == ("to stderr\n", 7)


def test_it_is_a_child_of_the_test_with_its_own_command_line(tmp_path: Path) -> None:
    with start(tmp_path, WAITS, "one") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        parent = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]
        process.kill()
    assert command[3:] == [b"-m", b"given", b"one"]
    assert int(parent) == os.getpid()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("raise ValueError('its own')", 1, "ValueError: its own"),
        (INTERRUPTS_ITSELF, -signal.SIGINT, "KeyboardInterrupt"),
        ("import os; os.abort()", -signal.SIGABRT, "Fatal Python error: Aborted"),
    ],
)
def test_it_ends_as_an_interpreter_does(tmp_path: Path, code: str, exit_code: int, words: str) -> None:
    process = start(tmp_path, code)
    _, err = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert words in err


def test_it_holds_the_descriptors_that_were_passed_and_no_others(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    lists = "import os; print([at for at in range(100) if os.path.exists(f'/proc/self/fd/{at}')])"
    process = start(tmp_path, lists, pass_fds=(theirs,))
    out, _ = process.communicate(timeout=30)
    for descriptor in (ours, theirs):
        os.close(descriptor)
    assert out == f"{[0, 1, 2, theirs]}\n"
