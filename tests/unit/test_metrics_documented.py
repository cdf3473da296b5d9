"""Every metric is told of in the page for those who watch over the operator."""

from __future__ import annotations

import re

from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_every_metric_of_a_coordinator_is_documented() -> None:
    source = (ROOT / "src" / "mapreduce" / "coordinator" / "metrics.py").read_text()
    names = set(re.findall(r'"(mapreduce_[a-z_]+)"', source))
    assert len(names) > 15
    assert sorted(name for name in names if f"`{name}" not in PAGE) == []


def test_every_metric_of_the_operator_is_documented() -> None:
    source = (ROOT / "operator" / "mapreduce_operator" / "metrics.py").read_text()
    names = {
        name + ("_total" if kind == "Counter" else "")
        for kind, name in re.findall(r'(Counter|Gauge|Histogram)\(\s*"(mapreduce_[a-z_]+)"', source)
    }
    assert len(names) > 8
    assert sorted(name for name in names if f"`{name}" not in PAGE) == []
