"""The files beside the log: what a job that has ended leaves."""

import errno
from pathlib import Path

import pytest

from mapreduce.coordinator.store import Store
from mapreduce.model import Code, Input, JobSpec, Output


def spec_of(folder: Path) -> JobSpec:
    return JobSpec(code=Code(inline=""), inputs=(Input(uri="in"),), output=Output(uri=str(folder / "out")))


def test_cleaning_up_leaves_the_attempts_of_another_job_on_the_same_folder(tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "state"), spec_of(tmp_path)
    for job in (1, 2):
        store.attempts_folder(spec, job).mkdir(parents=True)
    store.clean_up(1, spec, keep_runs=False, owns_output=True)
    assert [path.name for path in store.attempts_folder(spec, 2).parent.iterdir()] == ["2"]
    for _ in range(2):
        store.clean_up(2, spec, keep_runs=False, owns_output=True)
        assert not store.attempts_folder(spec, 2).parent.exists()


def test_two_jobs_on_one_folder_are_cleaned_up_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir = Path.rmdir

    def removed_twice(self: Path) -> None:
        rmdir(self)
        rmdir(self)

    store, spec = Store(tmp_path / "state"), spec_of(tmp_path)
    store.attempts_folder(spec, 1).mkdir(parents=True)
    monkeypatch.setattr(Path, "rmdir", removed_twice)
    store.clean_up(1, spec, keep_runs=False, owns_output=True)
    assert not store.attempts_folder(spec, 1).parent.exists()


def leftovers(store: Store, spec: JobSpec, job: int) -> list[Path]:
    """Temporary files of a killed incarnation, and an attempt, in the output folder."""
    output = Path(spec.output.uri)
    attempts = store.attempts_folder(spec, job)
    attempts.mkdir(parents=True)
    paths = [output / "._SUCCESS.9-9.tmp", output / "_mapreduce" / ".owner.json.9-9.tmp", attempts / "map-00000.out"]
    for path in paths:
        path.write_text("x")
    return paths


@pytest.mark.parametrize("owns_output", [True, False])
def test_an_output_folder_is_cleaned_only_by_the_job_it_belongs_to(tmp_path: Path, owns_output: bool) -> None:
    store, spec = Store(tmp_path / "state"), spec_of(tmp_path)
    store.runs_folder(1).mkdir(parents=True)
    paths = leftovers(store, spec, 1)
    store.clean_up(1, spec, keep_runs=False, owns_output=owns_output)
    assert [path.exists() for path in paths] == [not owns_output] * 3
    assert not store.runs_folder(1).exists()


def test_what_cannot_be_removed_stays_and_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        del missing_ok
        raise OSError(errno.EIO, "Input/output error", str(self))

    store, spec = Store(tmp_path / "state"), spec_of(tmp_path)
    success, _, attempt = leftovers(store, spec, 1)
    monkeypatch.setattr(Path, "unlink", refuse)
    store.clean_up(1, spec, keep_runs=False, owns_output=True)
    assert success.exists()
    assert not attempt.exists()
