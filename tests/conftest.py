"""The order of the tiers in one test run, by cost: what fails fast runs first.

`e2e` is the longest and waits more than it computes: it begins in two processes once what is pure has passed. Beside
it runs `api`, module by module, then `integration`, test by test, so that all processes end at about the same time. A
build of the cluster's parts in the background goes on while they wait for it.
"""

from __future__ import annotations

from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support import turns
from tests.support.tree import ROOT

TIERS: Final = ("unit", "property", "scenario", "e2e", "api", "integration")
IN_CLUSTER: Final = "tests/e2e/"
BY_MODULE: Final = "tests/api/"
"""Each process has an API server of its own, and an operator that some tests break on purpose."""
IN_ONE_PROCESS: Final = (
    "tests/integration/test_page_",
    "tests/integration/test_afterwards_cli.py",
    "tests/integration/test_cluster_proxy.py",
    "tests/integration/test_docs_site.py",
)
"""These share a browser, jobs that are done, a site that is built."""


class _ByPlace(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives away single tests, and those that stay together as one.

    By the path and not by `xdist_group` marks: pytest 9.2 takes no names from xdist 3.8's `loadgroup`, which then
    spreads such tests without a word.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(IN_CLUSTER):
            module = nodeid.removeprefix(IN_CLUSTER).partition("::")[0]
            return f"{IN_CLUSTER} {turns.lane(module)}"
        if nodeid.startswith(BY_MODULE):
            return nodeid.partition("::")[0]
        return next((place for place in IN_ONE_PROCESS if nodeid.startswith(place)), nodeid)


@pytest.hookimpl(optionalhook=True)  # there is none under `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByPlace(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)  # stable: the order within a tier stays


def _rank(item: pytest.Item) -> int:
    tier = item.path.relative_to(ROOT / "tests").parts[0]
    return TIERS.index(tier) if tier in TIERS else -1
