"""Taking output folders, on a real file system."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.statefiles import FolderLock, replace_file
from mapreduce.coordinator.store import Store
from mapreduce.errors import OutputRefused
from mapreduce.local.claiming import OutputClaim, look_into
from mapreduce.local.paths import OutputPaths
from mapreduce.model import Code, Input, JobSpec, Output, Storage
from mapreduce.ownerrecord import InputEntry, OwnerRecord, make_owner_record
from mapreduce.protocol.messages import SubmitRequest
from tests.support.outputfolders import Killed, kill_at

OURS = ["_mapreduce", "_mapreduce/inputs.json", "_mapreduce/lock", "_mapreduce/owner.json"]
INPUTS: list[InputEntry] = [("/books/a.txt", 100, 1)]


def record(code: str = "one") -> OwnerRecord:
    spec = JobSpec(code=Code(volume_path="wc.py"), inputs=(Input(uri="books"),), output=Output(uri="out"))
    return make_owner_record("wc", spec, code={"wc.py": code}, code_digest=code, inputs=INPUTS)


def take(paths: OutputPaths, *, overwrite: bool = False, restart: bool = False, code: str = "one") -> OutputClaim:
    claim = OutputClaim.acquire(paths, overwrite=overwrite)
    try:
        claim.settle(record(code), INPUTS, name_template="part-{partition:05d}", overwrite=overwrite, restart=restart)
    except OutputRefused:
        claim.undo()
        raise
    return claim


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_claim_that_is_undone_leaves_no_trace(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "deep" / "er" / "out")
    OutputClaim.acquire(paths, overwrite=False).undo()
    assert names(tmp_path) == []


def test_undoing_keeps_the_folder_that_was_there(tmp_path: Path) -> None:
    OutputClaim.acquire(OutputPaths(tmp_path), overwrite=False).undo()
    assert tmp_path.is_dir()
    assert names(tmp_path) == []


def test_a_second_run_is_refused_while_the_first_one_holds_the_folder(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    claim = take(paths)
    with pytest.raises(OutputRefused, match="another run is using it"):
        OutputClaim.acquire(paths, overwrite=True)
    claim.release()
    take(paths).release()


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputRefused):
        take(OutputPaths(tmp_path), overwrite=True, restart=True)
    assert names(tmp_path) == ["thesis.tex"]


def test_an_owner_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    take(paths).release()
    assert look_into(paths).owner == record()


def test_a_run_killed_before_it_wrote_its_record_leaves_an_empty_folder_to_all_rules(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    OutputClaim.acquire(paths, overwrite=False).release()
    take(paths).release()
    assert look_into(paths).owner == record()


def test_restarting_deletes_our_state_and_half_published_parts_and_nothing_else(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    take(paths).release()
    (paths.state / "log").mkdir()
    (paths.state / "log" / "segment-1").write_bytes(b"x")
    (paths.folder / "part-00000").write_bytes(b"x")
    (paths.folder / "mine.txt").write_bytes(b"x")
    take(paths, restart=True, code="two").release()
    assert names(paths.folder) == [
        "_mapreduce",
        "_mapreduce/inputs.json",
        "_mapreduce/lock",
        "_mapreduce/owner.json",
        "mine.txt",
    ]
    assert look_into(paths).owner == record("two")


def test_overwriting_deletes_what_success_lists_and_nothing_else(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    take(paths).release()
    (paths.folder / "part-00000").write_bytes(b"x")
    (paths.folder / "mine.txt").write_bytes(b"x")
    paths.success.write_bytes(msgspec.json.encode({"parts": {"part-00000": {"bytes": 1}}}))
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    take(paths, overwrite=True).release()
    assert names(paths.folder) == [
        "_mapreduce",
        "_mapreduce/inputs.json",
        "_mapreduce/lock",
        "_mapreduce/owner.json",
        "mine.txt",
    ]


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputRefused, match="link to nothing"):
        take(OutputPaths(link))


def test_what_a_run_killed_after_its_result_was_whole_left_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    take(paths).release()
    for name in ("jobs/1/runs/a.run", "jobs/1/logs/a.log", "attempts/1/a.out", "scratch/x", "log/segment"):
        (paths.state / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.state / name).write_bytes(b"x")
    (paths.state / "token").write_bytes(b"x")
    for temporary in (paths.state / ".owner.json.7-1.tmp", paths.state / ".endpoint.json.7-1.tmp"):
        temporary.write_bytes(b"x")  # killed while it noted the end
    paths.success.write_bytes(msgspec.json.encode({"parts": {}}))
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    left = {name for name in names(paths.state) if (paths.state / name).is_file()}
    assert left == {"inputs.json", "jobs/1/logs/a.log", "lock", "log/segment", "owner.json"}
    owner = look_into(paths).owner
    assert owner is not None
    assert owner.end == "Complete"


def dead(paths: OutputPaths, content: bytes = b'{"parts": {}}', **facts: Any) -> None:
    """A run that was killed between its result and its clean-up."""
    take(paths).release()
    if facts:
        replace_file(paths.owner, msgspec.json.encode(msgspec.structs.replace(record(), **facts)))
    for name in ("jobs/1/runs/a.run", "scratch/x", "token"):
        (paths.state / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.state / name).write_bytes(b"x")
    paths.success.write_bytes(content)


def test_a_run_killed_after_its_coordinator_had_noted_the_end_is_cleaned_up_after_too(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    dead(paths, end="Complete")
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    assert {name for name in names(paths.state) if (paths.state / name).is_file()} == {
        "inputs.json",
        "lock",
        "owner.json",
    }


def test_runs_that_were_to_stay_outlive_the_clean_up_after_a_killed_run(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    dead(paths, job=1)
    spec = JobSpec(
        code=Code(volume_path="wc.py"),
        inputs=(Input(uri="books"),),
        output=Output(uri="out"),
        storage=Storage(retain_runs="Always"),
    )
    Store(paths.state).put_submission(1, SubmitRequest(name="wc", spec=spec, code="0" * 64))
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    assert (paths.state / "jobs" / "1" / "runs" / "a.run").exists()
    assert not paths.scratch.exists()


@pytest.mark.parametrize("content", [b"", b'{"parts": {"part-0', b'{"parts": {"\xff": {}}}'])
def test_a_result_that_cannot_be_read_is_not_noted_as_complete_and_keeps_what_could_make_it_again(
    tmp_path: Path, content: bytes
) -> None:
    paths = OutputPaths(tmp_path / "out")
    dead(paths, content)
    before = names(paths.state)
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    assert names(paths.state) == before
    assert look_into(paths).owner == record()
    take(paths, overwrite=True, code="two").release()
    assert look_into(paths).owner == record("two")


def test_a_record_that_another_run_wrote_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = OutputPaths(tmp_path / "out")
    dead(paths)
    try_acquire = FolderLock.try_acquire

    def acquire_after_another(path: Path) -> FolderLock | None:
        monkeypatch.undo()
        take(paths, overwrite=True, code="two").release()  # and killed
        return try_acquire(path)

    monkeypatch.setattr(FolderLock, "try_acquire", acquire_after_another)
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    assert look_into(paths).owner == record("two")


def test_a_state_folder_with_nothing_but_what_a_killed_coordinator_and_pods_leave_is_taken(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    (paths.state / "work" / "pod-a").mkdir(parents=True)
    (paths.state / "replaced.json").write_bytes(b'{"parts": {}}')
    take(paths).release()
    assert names(paths.folder) == OURS


def test_of_a_result_that_a_coordinator_was_removing_only_what_it_lists_is_deleted(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "out")
    take(paths).release()
    replace_file(paths.owner, msgspec.json.encode(msgspec.structs.replace(record(), end="Complete")))
    (paths.state / "replaced.json").write_bytes(b'{"parts": {"part-00000": {}}}')
    for name in ("part-00000", "part-00001"):
        (paths.folder / name).write_bytes(b"x")
    with pytest.raises(OutputRefused, match="part-00001 was not written by us"):
        take(paths)
    (paths.folder / "part-00001").rename(paths.folder / "mine.txt")
    take(paths).release()
    assert names(paths.folder) == [*OURS, "mine.txt"]


def unfinished(paths: OutputPaths) -> None:
    """A job with committed work and a first part."""
    take(paths).release()
    (paths.state / "log").mkdir()
    (paths.state / "log" / "segment-1").write_bytes(b"x")
    (paths.folder / "part-00000").write_bytes(b"x")
    (paths.folder / "mine.txt").write_bytes(b"x")


def finished(paths: OutputPaths) -> None:
    """A result, of a process that was killed before it said so."""
    unfinished(paths)
    paths.success.write_bytes(msgspec.json.encode({"parts": {"part-00000": {"bytes": 1}}}))


@pytest.mark.parametrize(
    "before", [lambda paths: None, unfinished, finished], ids=["nothing", "unfinished", "finished"]
)
def test_a_run_killed_anywhere_while_it_takes_a_folder_leaves_one_that_the_same_command_takes(
    tmp_path: Path, before: Callable[[OutputPaths], None]
) -> None:
    for paths in taken_and_killed(tmp_path, before):
        take(paths, overwrite=True, restart=True, code="two").release()
        assert set(names(paths.folder)) - {"mine.txt"} == set(OURS)
        assert look_into(paths).owner == record("two")
        assert (paths.folder / "mine.txt").exists() == (before in (unfinished, finished))


def test_what_was_half_dropped_when_a_run_was_killed_is_not_resumed(tmp_path: Path) -> None:
    for paths in taken_and_killed(tmp_path, unfinished):
        claim = OutputClaim.acquire(paths, overwrite=False)
        with suppress(OutputRefused):  # where the new job has the folder already
            resumed, _ = claim.settle(
                record("one"), INPUTS, name_template="part-{partition:05d}", overwrite=False, restart=False
            )
            kept = {"_mapreduce/log", "_mapreduce/log/segment-1", "part-00000"}
            left = {name for name in names(paths.folder) if not name.endswith(".tmp")}
            assert left == {*OURS, "mine.txt"} | (kept if resumed is not None else set())
        claim.release()


def taken_and_killed(tmp_path: Path, before: Callable[[OutputPaths], None]) -> Iterator[OutputPaths]:
    """Folders that another job was given with all that allows it, killed before each of its changes in turn."""
    for number in range(1000):
        paths = OutputPaths(tmp_path / str(number))
        before(paths)
        claim = OutputClaim.acquire(paths, overwrite=True)
        is_killed = True
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            kill_at(patch, number)
            claim.settle(record("two"), INPUTS, name_template="part-{partition:05d}", overwrite=True, restart=True)
            is_killed = False
        claim.release()
        yield paths
        if not is_killed:
            assert number > 3, "nothing was changed"
            return
    raise AssertionError("no end of changes")
