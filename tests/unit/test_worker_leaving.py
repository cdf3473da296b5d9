"""How long a worker that was told to end stays: for its attempts, and for runs that nobody else has yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.protocol.endpoint import UrlEndpoint
from mapreduce_worker.agent.leaving import Leaving, Step
from mapreduce_worker.agent.settings import AgentSettings

NEVER_S = float("-inf")


@pytest.fixture
def leaving(tmp_path: Path) -> Leaving:
    settings = AgentSettings(
        endpoint=UrlEndpoint("http://c"),
        worker="w",
        scratch=tmp_path,
        grace_s=20.0,
        last_word_s=1.0,
        replica_grace_s=600.0,
    )
    return Leaving(settings, 1_000.0)


def _steps(leaving: Leaving, *times_s: float, held: int = 0, pending: int = 0, taken_s: float = NEVER_S) -> list[Step]:
    return [leaving.step(now_s, held=held, pending=pending, taken_s=taken_s) for now_s in times_s]


def test_a_worker_with_nothing_left_goes_at_once(leaving: Leaving) -> None:
    assert _steps(leaving, 1_000.0) == ["end"]


def test_attempts_may_end_within_the_grace_and_are_given_back_after_it(leaving: Leaving) -> None:
    assert _steps(leaving, 1_019.0, 1_020.0, 1_020.9, 1_021.0, held=1) == ["wait", "release", "wait", "end"]


def test_runs_without_a_replica_keep_it_as_long_as_the_coordinator_takes_them(leaving: Leaving) -> None:
    assert _steps(leaving, 1_020.0, 1_021.0, pending=3, taken_s=1_019.0) == ["release", "wait"]
    assert _steps(leaving, 1_400.0, pending=1, taken_s=1_399.0) == ["wait"]
    assert _steps(leaving, 1_401.0, taken_s=1_400.0) == ["end"]


def test_it_does_not_wait_for_a_coordinator_that_takes_nothing(leaving: Leaving) -> None:
    assert _steps(leaving, 1_020.0, 1_021.0, pending=3) == ["release", "end"]
    assert _steps(leaving, 1_119.0, 1_120.0, pending=3, taken_s=1_100.0) == ["wait", "end"]


def test_it_stays_no_longer_than_it_may(leaving: Leaving) -> None:
    assert _steps(leaving, 1_020.0, 1_599.0, 1_600.0, pending=3, taken_s=1_599.0) == ["release", "wait", "end"]
