"""Where files of attempts are made and where they go, for each way that volumes are shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.errors import TaskFailed
from mapreduce.protocol.messages import Assignment, AttemptId
from mapreduce_worker.agent.handover import move, remove_leftovers, take_trace
from mapreduce_worker.agent.places import WorkFolder, plan_places
from tests.support.sessions import definition

MAP = AttemptId(job=1, kind="map", index=3, attempt=2, epoch=1)
REDUCE = AttemptId(job=1, kind="reduce", index=0, attempt=1, epoch=1)
SCRATCH = Path("/mr/disk/pod")
WORK = WorkFolder("/mr/runs-work", "/mr/runs/work/pod")
OUTPUT_WORK = WorkFolder("/mr/output-work", "/mr/claims/data/out/_mapreduce/work/pod")


def test_on_one_machine_files_are_made_where_they_stay() -> None:
    places = plan_places(definition("Shared", "path"), SCRATCH, None, None)
    assert not places.is_separate
    for attempt in (MAP, REDUCE):
        assert places.target(Assignment(id=attempt), 2) == places.made(attempt, 2) == places.final(attempt, 2)
    assert places.final(MAP, 2) == "/mr/runs/jobs/1/runs/map-00003.e1.a2.run"
    assert places.final(MAP, 0) == "/out/attempts/map-00003.e1.a2.out"


def test_an_executor_elsewhere_writes_to_its_work_folders_only() -> None:
    places = plan_places(definition("Shared", "path"), SCRATCH, WORK, OUTPUT_WORK)
    assert places.is_separate
    assert places.target(Assignment(id=MAP), 2) == "/mr/runs-work/map-00003.e1.a2.run"
    assert places.made(MAP, 2) == "/mr/runs/work/pod/map-00003.e1.a2.run"
    assert places.final(MAP, 2) == "/mr/runs/jobs/1/runs/map-00003.e1.a2.run"
    assert places.target(Assignment(id=REDUCE), 2) == "/mr/output-work/reduce-00000.e1.a1.out"
    assert places.final(REDUCE, 2) == "/out/attempts/reduce-00000.e1.a1.out"
    assert places.trace(MAP) == "/mr/runs-work/map-00003.e1.a2.trace"


def test_without_a_common_volume_runs_stay_here_and_outputs_go_to_the_coordinator() -> None:
    work = WorkFolder.shared("/mr/disk/work")
    places = plan_places(definition("Peer", "coordinator"), SCRATCH, work, None)
    assert places.final(MAP, 2) == "/mr/disk/pod/runs/1/map-00003.e1.a2.run"
    assert places.target(Assignment(id=REDUCE), 2) == "/mr/disk/work/reduce-00000.e1.a1.out"
    assert places.final(REDUCE, 2) == ""


def test_a_file_is_moved_once_it_is_known_to_be_the_one_that_was_written(tmp_path: Path) -> None:
    made, final = tmp_path / "work" / "a.run", tmp_path / "runs" / "a.run"
    made.parent.mkdir()
    made.write_bytes(b"12345")
    move(str(made), str(final), 5)
    assert final.read_bytes() == b"12345"
    with pytest.raises(TaskFailed, match="cannot move"):
        move(str(made), str(final), 5)


@pytest.mark.parametrize("trick", ["link", "hard link", "other size"])
def test_a_file_that_is_not_the_one_that_was_written_has_no_name_afterwards(tmp_path: Path, trick: str) -> None:
    made, final, secret = tmp_path / "a.run", tmp_path / "runs" / "a.run", tmp_path / "secret"
    secret.write_bytes(b"12345")
    if trick == "link":
        made.symlink_to(secret)
    elif trick == "hard link":
        made.hardlink_to(secret)
    else:
        made.write_bytes(b"1234")
    with pytest.raises(TaskFailed, match="is not the file"):
        move(str(made), str(final), 5)
    assert not final.is_symlink()
    assert not final.exists()
    assert secret.read_bytes() == b"12345"


def test_a_trace_that_leads_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "a.trace").symlink_to(tmp_path / "secret")
    assert not take_trace(tmp_path / "a.trace", tmp_path / "mine" / "a.trace").exists()


def test_leftovers_of_one_attempt_are_removed_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "slot-0").mkdir()
    for name in (
        f"slot-0/{MAP.stem}.run.spill1",
        f"{MAP.stem}.run",
        f"{MAP.stem}.run.spill0",
        f"{REDUCE.stem}.out",
        f"{MAP.stem}1.run",
    ):
        (tmp_path / name).touch()
    remove_leftovers(str(tmp_path), MAP)
    assert {path.name for path in tmp_path.rglob("*")} == {"slot-0", f"{REDUCE.stem}.out", f"{MAP.stem}1.run"}
    remove_leftovers(str(tmp_path / "missing"), MAP)
