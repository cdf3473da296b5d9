"""Which way to a cluster, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.deciding import Facts, Way, decide_way
from cluster.errors import MissingPart

BARE = Facts(is_root=True)
WITH_DOCKER = Facts(is_docker_answering=True, has_public_image=True)


def test_a_given_cluster_is_used_whatever_else_is_there() -> None:
    assert decide_way(replace(WITH_DOCKER, given_kubeconfig="k", asked_for="podman")).way is Way.GIVEN


def test_docker_with_the_public_image_comes_first_and_needs_no_root() -> None:
    assert decide_way(WITH_DOCKER).way is Way.DOCKER


def test_docker_serves_on_any_system() -> None:
    assert decide_way(replace(WITH_DOCKER, is_linux=False)).way is Way.DOCKER


def test_docker_without_the_public_image_leads_to_podman() -> None:
    decision = decide_way(Facts(is_docker_answering=True, is_root=True))
    assert decision.way is Way.PODMAN
    assert decision.reason == "no registry answers with the public node image"


def test_a_docker_client_without_an_engine_leads_to_podman() -> None:
    assert decide_way(BARE).reason == "no Docker engine answers"


def test_podman_can_be_asked_for_although_docker_is_there() -> None:
    assert decide_way(replace(WITH_DOCKER, asked_for="podman", is_root=True)).way is Way.PODMAN


def test_docker_that_was_asked_for_is_not_replaced_by_podman() -> None:
    with pytest.raises(MissingPart, match="MR_CLUSTER is docker, but no Docker engine answers"):
        decide_way(replace(BARE, asked_for="docker"))


@pytest.mark.parametrize("facts", [replace(BARE, is_root=False), replace(BARE, is_linux=False)])
def test_where_nothing_serves_the_message_names_every_way_out(facts: Facts) -> None:
    with pytest.raises(MissingPart) as refused:
        decide_way(facts)
    for way_out in ("start Docker", "root", "MR_KUBECONFIG"):
        assert way_out in str(refused.value)


def test_an_unknown_way_is_refused_by_name() -> None:
    with pytest.raises(MissingPart, match="'minikube'"):
        decide_way(replace(BARE, asked_for="minikube"))
