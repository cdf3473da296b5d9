"""Which runs are really gone: the reported ones are read whole, of the others only presence and size are looked at."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.probe import committed_runs, find_lost
from mapreduce.scheduling.tasks import Output
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simjobs import SimJob
from tests.support.simulation import simulate


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, list[Output]]:
    """The runs that a job's maps made, and what was committed of them."""
    with simulate(tmp_path) as sim:
        sim.add_worker()
        number = sim.submit(SimJob())
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        return sim.service.store.runs_folder(number), committed_runs(sim.job(number))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_runs_that_are_whole_are_not_lost(runs: tuple[Path, list[Output]]) -> None:
    folder, outputs = runs
    assert len(outputs) == 4
    assert find_lost(folder, outputs, {0, 1, 2, 3}) == ((), "")


@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_a_run_that_is_missing_or_cut_is_lost_even_if_nobody_reported_it(
    runs: tuple[Path, list[Output]], harm: Callable[[Path], None]
) -> None:
    folder, outputs = runs
    harm(folder / f"{outputs[2].id.stem}.run")
    lost, problem = find_lost(folder, outputs, set())
    assert lost == (outputs[2].id,)
    assert outputs[2].id.stem in problem


def test_an_altered_run_is_found_where_it_was_reported(runs: tuple[Path, list[Output]]) -> None:
    folder, outputs = runs
    flip(folder / f"{outputs[1].id.stem}.run")
    assert find_lost(folder, outputs, {0})[0] == ()
    assert find_lost(folder, outputs, {1})[0] == (outputs[1].id,)


def test_a_sound_run_of_other_content_is_not_the_one_that_was_committed(runs: tuple[Path, list[Output]]) -> None:
    folder, outputs = runs
    other = msgspec.structs.replace(outputs[0], digest=outputs[0].digest ^ 1)
    assert find_lost(folder, [other], {0})[0] == (other.id,)


@pytest.mark.parametrize(("call", "number"), [("stat", errno.ESTALE), ("stat", errno.EIO), ("open", errno.EMFILE)])
def test_what_cannot_be_told_now_is_not_lost_and_the_others_are_looked_at(
    runs: tuple[Path, list[Output]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    number: int,
) -> None:
    folder, outputs = runs
    (folder / f"{outputs[3].id.stem}.run").unlink()
    original = getattr(Path, call)

    def fail(path: Path, *rest: Any, **named: Any) -> Any:
        if outputs[1].id.stem in path.name:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *rest, **named)

    monkeypatch.setattr(Path, call, fail)
    assert find_lost(folder, outputs, {0, 1, 2, 3})[0] == (outputs[3].id,)
    assert os.strerror(number) in caplog.text


def test_a_folder_that_is_gone_loses_all(runs: tuple[Path, list[Output]], tmp_path: Path) -> None:
    _, outputs = runs
    assert len(find_lost(tmp_path / "nowhere", outputs, set())[0]) == 4
