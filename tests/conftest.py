"""The order of the tiers in one test run, by cost: what fails fast runs first, what needs a cluster last.

`e2e` comes before `api`: both are groups of their own that run beside each other, and it is the longer one. Where there
is a build of the cluster's parts in the background, they have time until then.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.tree import ROOT

TIERS: Final = ("unit", "property", "scenario", "integration", "e2e", "api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)  # stable: the order within a tier stays


def _rank(item: pytest.Item) -> int:
    tier = item.path.relative_to(ROOT / "tests").parts[0]
    return TIERS.index(tier) if tier in TIERS else -1
