"""The parts of the page's scripts that only compute, run by node: they agree with what Python computes."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import msgspec
import pytest

from mapreduce.diagnosis.skew import quantiles_of
from mapreduce.page.lanes import boxes_of
from mapreduce.page.view import make_view
from tests.support.longjobs import LongJob, state_of
from tests.support.tree import ROOT

STATIC = ROOT / "src" / "mapreduce" / "page" / "static"
PURE = ("format.js", "columns.js", "lanes.js", "spread.js")

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's scripts")


def compute(code: str, **given: object) -> Any:
    """What an expression gives after the page's computing scripts; `given` is known by name."""
    scripts = "\n".join((STATIC / name).read_text() for name in PURE)
    program = f"const given = {json.dumps(given)};\n{scripts}\nconsole.log(JSON.stringify((() => {{ {code} }})()));"
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def columns_of(job: LongJob, limit: int | None = None) -> dict[str, Any]:
    state, found = state_of(job, limit=limit)
    view = make_view(state, found, sequence=1, source="out", made_at=0.0)
    plain: dict[str, Any] = json.loads(msgspec.json.encode({"frame": view.frame, "pages": view.pages}))
    return plain


LOAD = """
const attempts = new Attempts();
for (const page of given.pages) {
  attempts.take(page.attempts);
  attempts.outputs[0].take(page.maps);
  attempts.outputs[1].take(page.reduces);
}
const slots = new Map(given.frame.workers.map((worker) => [worker.number, worker.slots]));
const lanes = new Lanes(attempts, (worker) => slots.get(worker));
const ended = [];
for (let row = 0; row < attempts.length; row += 1) if (attempts.end[row] !== RUNNING) ended.push(row);
attempts.markBackups(0, attempts.length);
lanes.granted(0, attempts.length);
lanes.ended(ended);
const box = (at) => [lanes.row[at], lanes.lane[at], lanes.from[at], lanes.to[at]];
const filled = (column) => [...column.slice(0, attempts.length)];
const known = () => JSON.stringify([filled(attempts.end), filled(attempts.endAt)]);
"""


@pytest.mark.parametrize(
    "job", [LongJob(maps=300, workers=3, slots=2), LongJob(maps=90, workers=5, slots=1, is_skewed=True)]
)
def test_slots_are_the_same_in_browser_and_report(job: LongJob) -> None:
    state, found = state_of(job)
    expected = sorted(
        (box.row, box.lane, box.start_at, box.end_at) for box in boxes_of(found.attempts, state.worker_slots, 0.0)
    )
    code = LOAD + "return Array.from({length: lanes.length}, (_, at) => box(at));"
    shown = sorted(map(tuple, compute(code, **columns_of(job))))
    assert [(row, lane) for row, lane, _, _ in shown] == [(row, lane) for row, lane, _, _ in expected]
    assert [box[2:] for box in shown] == [pytest.approx(box[2:], abs=1e-6) for box in expected]


def test_quantiles_are_the_same_in_browser_and_headline() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    shown = compute("return quantilesOf(given.values);", values=values)
    expected = quantiles_of(values)
    assert expected is not None
    names = ("count", "least", "p25", "median", "p75", "most")
    assert [shown[name] for name in names] == [getattr(expected, name) for name in names]


def test_no_attempt_is_left_out_of_the_bins() -> None:
    code = LOAD + """
    const bins = new Bins(6, 40, lanes.from[0], Math.max(...lanes.to.slice(0, lanes.length)));
    const first = new Map([1, 2, 3].map((worker, at) => [worker, at * 2]));
    let seconds = 0;
    for (let at = 0; at < lanes.length; at += 1) {
      const row = lanes.row[at];
      seconds += lanes.to[at] - lanes.from[at];
      const lane = first.get(attempts.worker[row]) + lanes.lane[at];
      bins.add(lane, lanes.from[at], lanes.to[at], attempts.kind[row] === 1, false);
    }
    let binned = 0;
    for (let at = 0; at < bins.map.length; at += 1) binned += (bins.map[at] + bins.reduce[at]) * bins.width;
    return [bins.count, lanes.length, binned, seconds];
    """  # fmt: skip
    count, boxes, binned, seconds = compute(code, **columns_of(LongJob(maps=300, workers=3, slots=2)))
    assert count == boxes
    assert binned == pytest.approx(seconds, rel=0.01)


def test_hearing_a_part_twice_changes_nothing() -> None:
    code = LOAD + """
    const before = known();
    let fresh = 0;
    for (const page of given.pages) fresh += attempts.take(page.attempts).length;
    return [before === known(), fresh];
    """  # fmt: skip
    assert compute(code, **columns_of(LongJob(maps=50))) == [True, 0]


def test_a_retry_is_no_backup_and_an_attempt_beside_another_one_is() -> None:
    code = """
    const attempts = new Attempts();
    attempts.reach(3);
    attempts.kind.set([0, 0, 0]); attempts.index.set([7, 7, 7]); attempts.number.set([1, 2, 3]);
    attempts.startAt.set([10, 20, 25]); attempts.endAt.set([19, 30, 0]); attempts.end.set([FAILED, COMMITTED, RUNNING]);
    attempts.markBackups(0, 3);
    return [...attempts.isBackup.slice(0, 3)];
    """
    assert compute(code) == [0, 0, 1]


def test_what_runs_takes_the_slots_that_are_free_and_the_rest_waits() -> None:
    job = LongJob(maps=40, workers=2, slots=2)
    shown = compute(
        LOAD + "return lanes.running(given.frame.at + 5).map((box) => [box.worker, box.lane]);", **columns_of(job, 60)
    )
    assert len(shown) == len({tuple(box) for box in shown}) <= 4


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("sizeText(0)", "0 B"), ("sizeText(1023)", "1.0 KiB"), ("sizeText(5 * 1048576)", "5.0 MiB"),
        ("durationText(0.0042)", "4.2 ms"), ("durationText(0.25)", "0.25 s"), ("durationText(75)", "1m15s"),
        ("durationText(7300)", "2h01m"), ("durationText(NaN)", "–"), ("countText(1234567)", "1,234,567"),
        ("commonBeginning(['mr-words-1a2b-workers-x7k2p', 'mr-words-1a2b-workers-9zz'])", "mr-words-1a2b-workers-"),
        ("commonBeginning(['worker-1-aa', 'worker-2-bb'])", ""), ("plural(1, 'map')", "1 map"),
    ],
)  # fmt: skip
def test_numbers_read_as_elsewhere(code: str, text: str) -> None:
    assert compute(f"return {code};") == text
