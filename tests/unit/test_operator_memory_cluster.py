"""The cluster in memory keeps what passes rely on, as the real one does (tests/api/test_cluster_contract.py)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clustercontract import PROMISES, Promise
from tests.support.memorycluster import MemoryCluster


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_the_cluster_in_memory_keeps_its_promises(promise: Promise) -> None:
    async def ask() -> None:
        await promise(MemoryCluster(), "team")

    asyncio.run(ask())
