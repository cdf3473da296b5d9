"""The files beside the log: what a job that has ended leaves."""

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
    store.clean_up(1, spec, keep_runs=False)
    assert [path.name for path in store.attempts_folder(spec, 2).parent.iterdir()] == ["2"]
    for _ in range(2):
        store.clean_up(2, spec, keep_runs=False)
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
    store.clean_up(1, spec, keep_runs=False)
    assert not store.attempts_folder(spec, 1).parent.exists()
