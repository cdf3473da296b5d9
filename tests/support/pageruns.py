"""What tests of the page share: the browser of a test module, reports of made-up jobs, and what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.page.view import View, make_view
from tests.support.browsing import Browser, NoBrowser, browsing
from tests.support.longjobs import LongJob, state_of

SHOWN = "document.body.dataset.attempts !== undefined"


def browser_or_skip() -> Iterator[Browser]:
    """For a fixture: a browser, or a skipped test that says what is missing."""
    try:
        with browsing() as browser:
            yield browser
    except NoBrowser as missing:
        pytest.skip(f"no browser: {missing}")


def view_of(job: LongJob, *, limit: int | None = None, gone: int = 0) -> View:
    """What a report of the job shows; so many workers have left."""
    state, found = state_of(job, limit=limit)
    for number in range(gone):
        del state.workers[job.worker(number)]
    return make_view(state, found, sequence=1_000, source="out", made_at=1_790_001_000.0)


def open_report(browser: Browser, folder: Path, view: View, **options: object) -> None:
    """Write the report and open it."""
    path = folder / "report.html"
    path.write_bytes(view.report())
    browser.open(path.as_uri(), **options)
    browser.wait_for(SHOWN)


def page_address(text: str) -> str:
    """The address that a command has printed."""
    found = re.search(r"http://\S+#ticket=\S+", text)
    assert found is not None, text
    return found[0]


def state_is(name: str) -> str:
    """Code that is true when the page shows this state of the job."""
    return f"document.querySelector('#state').innerText === '{name}'"


def has_text(selector: str, text: str) -> str:
    """Code that is true when an element's text holds these words."""
    return f"document.querySelector('{selector}').innerText.includes({text!r})"
