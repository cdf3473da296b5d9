"""The page as a file, in a real browser: very large jobs, keyboard, dark mode, and nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browsing import SUPPORT, Browser
from tests.support.longjobs import LongJob
from tests.support.pageruns import browser_or_skip, has_text, open_report, view_of

SMALL = LongJob(maps=40, reduces=8, workers=3, slots=2, failing_every=16, is_skewed=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from browser_or_skip()


def test_a_hundred_thousand_tasks_are_binned_and_none_is_left_out(browser: Browser, tmp_path: Path) -> None:
    view = view_of(LongJob(maps=100_000, reduces=64, workers=12, slots=4))
    open_report(browser, tmp_path, view, width=1_280)
    count = view.frame.rows
    assert count > 100_000
    note = browser.text("#timeline-note")
    assert f"{count:,} attempts on 48 slots of 12 workers" in note
    assert f"{count:,} of them binned" in note
    assert "none is left out" in note
    assert browser.evaluate("page.model.lanes.length") == count
    assert "100,000 of 100,000" in browser.text("#bars")
    browser.evaluate("page.timeline.canvas.focus()")
    browser.press(*["+"] * 12)
    assert "binned" not in browser.text("#timeline-note")
    assert browser.evaluate("page.timeline.drawn.length") > 0


def test_every_attempt_can_be_reached_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path, view_of(SMALL))
    browser.evaluate("page.timeline.canvas.focus()")
    browser.press("ArrowRight")
    assert "map-0" in browser.text("#chosen")
    browser.press("ArrowRight")
    assert "map-0" not in browser.text("#chosen")
    before = browser.text("#chosen")
    browser.press("ArrowDown")
    assert browser.text("#chosen") != before
    browser.press("+", "+")
    assert "zoomed to" in browser.text("#timeline-note")
    browser.press("0")
    assert "zoomed to" not in browser.text("#timeline-note")
    browser.press("Escape")
    assert browser.evaluate("document.querySelector('#chosen').hidden") is True


def test_what_the_pictures_show_is_said_in_words_too(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path, view_of(SMALL))
    label = browser.evaluate("document.querySelector('#timeline').getAttribute('aria-label')")
    assert label.startswith("Timeline. ")
    assert "attempts on 6 slots of 3 workers" in label
    partitions = browser.evaluate("document.querySelector('#partitions').getAttribute('aria-label')")
    assert "1 of 8 reduce tasks holds" in partitions
    bars = browser.evaluate("[...document.querySelectorAll('[role=progressbar]')].map((bar) => bar.ariaValueNow)")
    assert bars == ["40", "8"]
    nameless = browser.evaluate(
        "[...document.querySelectorAll('button, select, input, canvas:not([aria-hidden])')]"
        ".filter((node) => !node.innerText && !node.ariaLabel && !node.labels?.length && !node.hidden).length"
    )
    assert nameless == 0


def test_skew_is_told_in_the_head_and_beside_the_numbers(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path, view_of(SMALL))
    assert "1 of 8 reduce tasks holds" in browser.text("#sentence")
    assert "What helps" not in browser.text("#sentence")
    assert "combiner" in browser.text("#fix")
    assert "Skewed: the longest reduce took" in browser.text("#spread")
    browser.click("#slowest-box summary")
    assert "reduce-1" in browser.text("#slowest")


def test_dark_and_light_follow_the_system_until_somebody_chooses(browser: Browser, tmp_path: Path) -> None:
    view = view_of(SMALL)
    paper = "getComputedStyle(document.body).backgroundColor"
    open_report(browser, tmp_path, view, scheme="light")
    light = browser.evaluate(paper)
    open_report(browser, tmp_path, view, scheme="dark")
    dark = browser.evaluate(paper)
    assert _brightness(light) > 200
    assert _brightness(dark) < 60
    browser.press("t")
    assert browser.evaluate(paper) == light
    browser.click("#theme")
    assert browser.evaluate(paper) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(browser: Browser, tmp_path: Path, scheme: str) -> None:
    open_report(browser, tmp_path, view_of(SMALL, gone=1), scheme=scheme)
    assert "gone" in browser.text("#workers")
    assert browser.evaluate((SUPPORT / "contrast.js").read_text()) == []


def test_a_narrow_screen_needs_no_scrolling_sideways(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path, view_of(SMALL), width=420, height=800)
    assert browser.evaluate("document.documentElement.scrollWidth <= 420") is True


def test_a_report_fetches_nothing_and_no_text_in_it_becomes_code(browser: Browser, tmp_path: Path) -> None:
    view = view_of(SMALL)
    open_report(browser, tmp_path, view)
    found = browser.network()
    assert [request for request in found["asked"] if not request.startswith("GET file:")] == []
    assert len(found["asked"]) == 1
    assert found["strangers"] == found["said"] == []
    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert browser.evaluate("window.ran === undefined") is True


def test_a_job_that_never_ended_is_shown_as_it_was_last_heard_of(browser: Browser, tmp_path: Path) -> None:
    open_report(browser, tmp_path, view_of(SMALL, limit=60))
    assert browser.text("#sentence").startswith("When last heard: ")
    browser.wait_for(has_text("#state", "Mapping"))


def _brightness(colour: str) -> float:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3
