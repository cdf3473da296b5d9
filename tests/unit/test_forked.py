"""Processes that tests fork are in all that a test sees what new ones would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.forked import Forked
from tests.support.mrruns import is_alive, until

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
#: A process of the product that starts another one, of which the job's file shows what it sees.
STARTS = """
import os, subprocess, sys
print(os.getpid(), flush=True)
command = [sys.executable, "-P", "-m", "mapreduce.describe", "--", "job.py"]
told = subprocess.run(command, capture_output=True, env={"ONLY": "this"}, start_new_session=True)
print(told.stderr.decode(), end="")
"""
SEES = """
import os, pathlib, sys
own = pathlib.Path("/proc/self")
print(os.getppid(), os.getsid(0) == os.getpid(), "aiohttp" in sys.modules, os.getcwd() in sys.path)
for seen in ("environ", "cmdline"):
    print((own / seen).read_bytes().rstrip(b"\\0"))
"""
#: Whoever started the tests may have had them ignore it.
INTERRUPTS_ITSELF = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
"""


class Given(Forked):
    packages = ("given",)


def start(folder: Path, code: str, *arguments: str, **options: Any) -> Given:
    (folder / "given.py").write_text(code)
    command = [sys.executable, "-X", "faulthandler", "-m", "given", *arguments]
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return Given(command, cwd=folder, **streams, **options)


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


def test_what_it_starts_of_the_product_is_forked_too_and_is_its_child(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SEES)
    process = start(tmp_path, STARTS)
    out, err = process.communicate(timeout=30)
    command = "\\x00".join([sys.executable, "-P", "-m", "mapreduce.describe", "--", "job.py"])
    assert out.splitlines() == [
        str(process.pid),
        f"{process.pid} True True False",
        "b'ONLY=this'",
        f"b'{command}'",
    ], err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_it(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, WAITS, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(below) == 1, "the zygote of its own"
        process.send_signal(number)
    until(lambda: not is_alive(int(below[0])), "the end of what it was forked with")
