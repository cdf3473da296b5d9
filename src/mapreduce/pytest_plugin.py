"""The pytest plugin: fixtures for tests of jobs. Loaded by the entry point `pytest11`; imports nothing before use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mapreduce.testing import KillReport, Outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--mr-seed`: other kills than usual, or those of a test that failed."""
    group = parser.getgroup("mapreduce", "MapReduce jobs")
    group.addoption("--mr-seed", type=int, default=0, metavar="N", help="seed of what mr_kill_anything kills and when")


@pytest.fixture
def mr_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """`mapreduce.testing.run_job`, with the files of each run kept in pytest's temporary folders."""

    def run(job: Any, records: Any, **settings: Any) -> Outcome:
        from mapreduce.testing import run_job

        return run_job(job, records, **{"folder": tmp_path_factory.mktemp("mr-run"), **settings})

    return run


@pytest.fixture
def mr_kill_anything(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[..., KillReport]:
    """`mapreduce.testing.kill_anything`, with the seed of `--mr-seed`."""

    def run(job: Any, records: Any, **settings: Any) -> KillReport:
        from mapreduce.testing import kill_anything

        seed = request.config.getoption("--mr-seed")
        folder = tmp_path_factory.mktemp("mr-kill")
        return kill_anything(job, records, **{"seed": seed, "folder": folder, **settings})

    return run
