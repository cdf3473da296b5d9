"""The Grafana dashboard of the chart asks for measures that there are."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest
from prometheus_client import Counter, Gauge, Histogram

from mapreduce_operator import metrics
from tests.support.tree import ROOT

DASHBOARD: Final = json.loads((ROOT / "charts/mapreduce-operator/files/dashboard.json").read_text(encoding="utf-8"))
EXPRESSIONS: Final = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def _known() -> set[str]:
    of_coordinators = re.findall(r'"(mapreduce_\w+)"', (ROOT / "src/mapreduce/coordinator/metrics.py").read_text())
    measures = [one for one in vars(metrics).values() if isinstance(one, Counter | Gauge | Histogram)]
    of_operators = {name for one in measures for family in one.describe() for name in _names(family.name, family.type)}
    return {*of_coordinators, *of_operators}


def _names(name: str, kind: str) -> set[str]:
    return {
        name + ending
        for ending in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_measure_that_is_asked_for_exists(expression: str) -> None:
    asked = set(re.findall(r"\bmapreduce_\w+", expression))
    assert asked
    assert asked - _known() == set()


def test_panels_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places)) == len({panel["id"] for panel in DASHBOARD["panels"]})
