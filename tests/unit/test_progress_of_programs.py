"""What a run from a program shows: nothing, lines, bars, or a display in a notebook that is replaced as it goes on."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mapreduce.errors import UsageError
from mapreduce.local.choosing import is_in_notebook, make_watcher
from mapreduce.local.notebook import Document, NotebookWatcher
from mapreduce.local.progress import PlainWatcher
from mapreduce.local.watching import SilentWatcher
from mapreduce.protocol.messages import JobStatus, TaskCounts

RUNNING = JobStatus(
    job=1, name="wc", state="Mapping", maps=TaskCounts(total=64, committed=37), reduces=TaskCounts(total=4), workers=2
)


class Display:
    """What IPython's display is to us."""

    def __init__(self) -> None:
        self.shown: list[Document] = []

    def __call__(self, document: Document, **_: Any) -> Display:
        self.shown.append(document)
        return self

    def update(self, document: Document) -> None:
        self.shown.append(document)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    made = Display()
    shell = SimpleNamespace(kernel=object())
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=made))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return made


def test_a_script_shows_nothing_unless_it_asks() -> None:
    assert isinstance(make_watcher(None, "wc"), SilentWatcher)
    assert isinstance(make_watcher("plain", "wc"), PlainWatcher)
    with pytest.raises(UsageError, match="'bars', 'plain', 'none'"):
        make_watcher("loud", "wc")  # type: ignore[arg-type]


def test_a_notebook_shows_the_job_live_without_being_asked(display: Display) -> None:
    watcher = make_watcher(None, "wc")
    assert is_in_notebook()
    watcher.progress(msgspec.structs.replace(RUNNING, state="Complete"))
    watcher.notice("worker 1 <died>")
    watcher.close()
    assert "starting" in display.shown[0].html
    assert "map 37/64" in display.shown[-1]._repr_html_()
    assert "worker 1 &lt;died&gt;" in display.shown[-1].html
    assert "wc: Complete: maps 37/64" in repr(display.shown[-1])
    assert isinstance(make_watcher("none", "wc"), SilentWatcher)


def test_a_notebook_is_redrawn_four_times_a_second_at_most() -> None:
    display, now_s = Display(), [0.0]
    watcher = NotebookWatcher("wc", display, lambda: now_s[0])
    for step in range(100):
        now_s[0] = step / 100
        watcher.progress(RUNNING)
    assert len(display.shown) <= 5


def test_a_shell_of_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert not is_in_notebook()


def test_ipython_is_never_imported() -> None:
    program = "import sys, mapreduce.local.choosing as it; it.make_watcher(None, 'x'); print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
