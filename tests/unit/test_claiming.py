"""Taking output folders, on a real file system."""

from pathlib import Path

import msgspec
import pytest

from mapreduce.errors import OutputRefused
from mapreduce.local.claiming import OutputClaim, look_into
from mapreduce.local.paths import OutputPaths
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.ownerrecord import InputEntry, OwnerRecord, make_owner_record

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
    paths.success.write_bytes(msgspec.json.encode({"parts": {}}))
    with pytest.raises(OutputRefused, match="--overwrite"):
        take(paths)
    left = {name for name in names(paths.state) if (paths.state / name).is_file()}
    assert left == {"inputs.json", "jobs/1/logs/a.log", "lock", "log/segment", "owner.json"}
    owner = look_into(paths).owner
    assert owner is not None
    assert owner.end == "Complete"
