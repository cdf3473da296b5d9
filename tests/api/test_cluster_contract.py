"""The real API server keeps what passes rely on, as the cluster in memory does (tests/unit)."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes.aio.client import Configuration

from cluster.controlplane import ControlPlane
from mapreduce_operator.api import Api
from mapreduce_operator.cluster import Cluster
from tests.support.clustercontract import PROMISES, Promise


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.__name__)
def test_a_real_cluster_keeps_its_promises(plane: ControlPlane, namespace: str, promise: Promise) -> None:
    async def ask() -> None:
        configuration = Configuration()
        configuration.host = plane.url
        configuration.ssl_ca_cert = str(plane.ca_file)
        configuration.api_key = {"BearerToken": f"Bearer {plane.token}"}
        configuration.proxy = None
        configuration.retries = False
        api = Api(configuration, request_s=10)
        try:
            await promise(Cluster(api), namespace)
        finally:
            await api.close()

    asyncio.run(ask())
