"""The page about a job that runs, in a real browser: it follows, it comes back, it reads and does nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aftermath import read_story
from tests.support.browsing import Browser
from tests.support.killing import kill, start_coordinator, start_worker, submit
from tests.support.mrruns import DEADLINE_S, GatedJob, mr, mr_command, until
from tests.support.pageruns import SHOWN, browser_or_skip, has_text, page_address, state_is
from tests.support.steppedjobs import SteppedJob, stepped_job

WAITING_THEN_FAILING = """
import os, time

def check(line):
    return int(line)

def mapper(line, ctx):
    while not os.path.exists(ctx.args["gate"]):
        time.sleep(0.01)
    yield check(line), 1

def reducer(number, counts):
    yield number, sum(counts)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from browser_or_skip()


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[GatedJob]:
    job = GatedJob(tmp_path)
    yield job
    job.end()
    for running in job.started:
        running.process.wait(DEADLINE_S)
        for stream in (running.process.stdout, running.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def stepped() -> Iterator[SteppedJob]:
    with stepped_job() as job:
        yield job


def address_of(process: subprocess.Popen[str]) -> str:
    """The address that a `mr run` prints when it begins."""
    assert process.stderr is not None
    for line in process.stderr:
        if "#ticket=" in line:
            return page_address(line)
    raise AssertionError("mr run printed no address of a page")


def test_the_page_follows_a_run_to_its_end_and_keeps_what_it_showed(browser: Browser, gated: GatedJob) -> None:
    running = gated.start()
    browser.open(address_of(running.process))
    browser.wait_for(has_text("#bars", "7 of 8"))
    sentence = browser.text("#sentence")
    assert sentence.startswith(("Maps: 7 of 8 committed", "Waits for map-7"))  # the latter from 5 s on
    assert "live" in browser.text("#link")
    gated.open_gate()
    browser.wait_for(state_is("Complete"))
    assert "2 of 2" in browser.text("#bars")
    browser.wait_for(has_text("#link", "and so has its coordinator"))
    assert "Complete in" in browser.text("#sentence")
    # ten, or more: one that waits behind another goes to a worker that idles
    granted = read_story(gated.out / "_mapreduce").granted.total()
    assert browser.evaluate("document.body.dataset.attempts") == str(granted)
    assert granted >= 10


def test_what_executors_need_of_memory_is_shown_while_they_run(browser: Browser, gated: GatedJob) -> None:
    running = gated.start("--lease", 2)
    browser.open(address_of(running.process))
    browser.wait_for(has_text("#workers", " MiB"))
    gated.open_gate()
    browser.wait_for(state_is("Complete"))


def test_an_address_is_good_once_and_not_kept_in_the_address_bar(browser: Browser, gated: GatedJob) -> None:
    running = gated.start()
    address = address_of(running.process)
    browser.open(address)
    browser.wait_for(SHOWN)
    assert "ticket" not in browser.evaluate("location.href")
    browser.reload()  # the page has its own token by now
    browser.wait_for(SHOWN)
    browser.open(address)  # another profile, the same ticket
    browser.wait_for("!document.querySelector('#door').hidden")
    assert "used before" in browser.text("#door-why")
    fresh = mr("page", "out", cwd=gated.folder).stdout
    browser.open(page_address(fresh))
    browser.wait_for(SHOWN)


def test_no_page_means_no_page(gated: GatedJob) -> None:
    gated.open_gate()
    done = subprocess.run(
        mr_command("run", *gated.arguments, "--no-page"), cwd=gated.folder, capture_output=True, text=True, check=True
    )
    assert "page:" not in done.stderr


def test_a_failed_task_is_told_with_its_traceback_and_the_commands_that_help(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(WAITING_THEN_FAILING)
    (tmp_path / "in.txt").write_text("1\n2\n<img src=x onerror=alert(1)>\n")
    arguments = ["run", "job.py", "in.txt", "-o", "out", "--workers", "1", "--arg", f"gate={tmp_path / 'gate'}"]
    process = subprocess.Popen(
        mr_command(*arguments), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        browser.open(address_of(process))
        browser.wait_for(SHOWN)
        (tmp_path / "gate").touch()
        browser.wait_for(state_is("Failed"))
    finally:
        process.kill()
        process.communicate()
    failures = browser.text("#failures")
    assert "4 attempts failed, for 1 cause" in failures
    assert "line 5, in check" in browser.text(".traceback")
    assert "invalid literal for int()" in browser.text(".traceback")
    assert f"mr logs {tmp_path / 'out'} --task map-0" in failures
    assert f"mr replay {tmp_path / 'out'} map-0" in failures
    assert "<img src=x" in failures  # what the job read is shown, and is not markup
    assert browser.evaluate("document.querySelectorAll('#failures img').length") == 0
    assert "Failed after" in browser.text("#sentence")


def test_the_page_goes_on_after_the_coordinator_was_killed(browser: Browser, stepped: SteppedJob) -> None:
    stepped.close_gate("map-3")
    stepped.close_gate("reduce-1")
    coordinator = start_coordinator(stepped)
    submit(stepped)
    start_worker(stepped, "a", "--slots", 2)
    stepped.until_at("map-3")
    browser.open(page_address(coordinator.said))
    browser.wait_for("page.model.status?.maps?.committed >= 3")
    browser.wait_for(has_text("#bars", " of 6"))
    browser.evaluate("window.isSamePage = true")
    kill([coordinator.process.pid])
    coordinator.wait()
    browser.wait_for(has_text("#link", "no connection"))
    assert " of 6" in browser.text("#bars")
    start_coordinator(stepped)
    stepped.open_gate("map-3")
    stepped.until_at("reduce-1")
    browser.wait_for(has_text("#link", "live"))
    browser.wait_for(has_text("#bars", "6 of 6"))
    stepped.open_gate("reduce-1")
    browser.wait_for(state_is("Complete"))
    assert browser.evaluate("window.isSamePage") is True
    assert "epoch 2" in browser.text("#foot")
    shown = int(browser.evaluate("page.model.attempts.length"))
    assert shown == int(
        browser.evaluate(
            "page.model.attempts.end.slice(0, page.model.attempts.length).filter((end) => end !== 0).length"
        )
    )
    assert shown == sum(stepped.begun().values())
    assert browser.evaluate("page.model.lanes.running(page.model.now()).length") == 0


def test_a_connection_that_breaks_is_taken_up_where_it_was(browser: Browser, stepped: SteppedJob) -> None:
    stepped.close_gate("map-3")
    coordinator = start_coordinator(stepped)
    submit(stepped)
    start_worker(stepped, "a", "--slots", 2)
    stepped.until_at("map-3")
    browser.open(page_address(coordinator.said))
    browser.wait_for("page.model.status?.maps?.committed >= 3 && page.stream.sequence > 0")
    before = browser.network()["asked"]
    browser.evaluate("page.stream.abort.abort()")
    stepped.open_gate("map-3")
    browser.wait_for(state_is("Complete"))
    after = browser.network()["asked"][len(before) :]
    assert [request for request in after if "/frames" in request]
    assert not [request for request in after if "/timeline" in request]  # nothing was sent twice
    assert browser.evaluate("page.model.attempts.length") == sum(stepped.begun().values())


def test_the_page_asks_nobody_but_its_coordinator_and_changes_nothing(browser: Browser, gated: GatedJob) -> None:
    running = gated.start()
    address = address_of(running.process)
    browser.open(address)
    browser.wait_for(SHOWN)
    gated.open_gate()
    browser.wait_for(state_is("Complete"))
    until(lambda: running.process.poll() is not None, "the end of the run")
    found = browser.network()
    assert found["strangers"] == []
    origin = address.partition("/#")[0]
    methods = {request.replace(origin, "").split("?")[0] for request in found["asked"]}
    assert {request.split()[0] for request in methods} <= {"GET", "POST"}
    assert {request for request in methods if request.startswith("POST")} == {"POST /v1/ticket"}
    assert all(request.split()[1].startswith(origin) for request in found["asked"])
