"""What the executors' container asks of its agent by coming, going and coming back."""

from __future__ import annotations

import pytest

from mapreduce_worker.agent.absence import Absence, Step


@pytest.fixture
def absence() -> Absence:
    return Absence(patience_s=60.0)


def _steps(absence: Absence, *looks: tuple[float, bool]) -> list[Step]:
    return [absence.step(now_s, is_ready=is_ready) for now_s, is_ready in looks]


def test_the_coordinator_is_met_once_and_not_before_executors_can_be_started(absence: Absence) -> None:
    looks = [(0.0, False), (500.0, False), (501.0, True), (502.0, True)]
    assert _steps(absence, *looks) == ["none", "none", "meet", "none"]


def test_a_container_that_comes_back_in_time_costs_no_attempt(absence: Absence) -> None:
    looks = [(0.0, True), (1.0, False), (60.9, False), (61.0, True), (62.0, True)]
    assert _steps(absence, *looks) == ["meet", "gone", "none", "back", "none"]


def test_attempts_are_given_back_when_it_stays_away(absence: Absence) -> None:
    looks = [(0.0, True), (1.0, False), (61.0, False), (62.0, False), (63.0, True)]
    assert _steps(absence, *looks) == ["meet", "gone", "give back", "give back", "back"]


def test_every_absence_has_its_own_patience(absence: Absence) -> None:
    looks = [(0.0, True), (1.0, False), (2.0, True), (100.0, False), (159.0, False), (160.0, False)]
    assert _steps(absence, *looks) == ["meet", "gone", "back", "gone", "none", "give back"]
