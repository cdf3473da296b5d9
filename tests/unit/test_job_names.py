"""Which job a name means: by option, by spelling, by what runs here, in a fixed order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mapreduce.coordinator.runtimefile import Note, leave_note
from mapreduce.coordinator.statefiles import Endpoint, write_endpoint
from mapreduce.errors import Unauthorized, Unreachable, UsageError
from mapreduce_cli.cluster.access import ClusterAddress
from mapreduce_cli.cluster.options import Target
from mapreduce_cli.connect import Address
from mapreduce_cli.jobnames import OfClaim, OfCluster, OfFolder, in_cluster, means_cluster, resolve
from tests.support.clustercommands import Person, person

__all__ = ["person"]

NOTHING = Target(Address(), ClusterAddress(), means_cluster=False, means_coordinator=False)
TYPED = Target(Address(), ClusterAddress(namespace="team-a"), True, False, is_typed=True)
BY_ENVIRONMENT = Target(Address(), ClusterAddress(namespace="team-a"), True, False)
AT_FOLDER = Target(Address(folder=Path("state")), ClusterAddress(), False, True)


def run_a_coordinator(folder: Path) -> None:
    """Leave what a coordinator of this user leaves that runs here."""
    folder.mkdir()
    write_endpoint(folder, Endpoint(url="http://127.0.0.1:9", epoch=1, pid=os.getpid()))
    leave_note(Note(url="http://127.0.0.1:9", folder=str(folder), pid=os.getpid()))


@pytest.mark.parametrize("name", ["mrj/wc", "mapreducejob/wc", "mapreducejobs/wc", "mapreducejob.mapreduce.dev/wc"])
def test_every_spelling_of_the_resource_names_it_without_any_option(person: Person, name: str) -> None:
    person.cluster.job("wc")
    found = resolve(name, NOTHING)
    assert isinstance(found, OfCluster)
    assert found.job.name == "wc"


def test_a_bare_name_is_the_clusters_where_no_coordinator_runs_here(person: Person) -> None:
    person.cluster.job("wc")
    assert isinstance(resolve("wc", NOTHING), OfCluster)


def test_a_coordinator_that_runs_here_goes_before_the_cluster_of_the_kubeconfig(person: Person) -> None:
    person.cluster.job("wc")
    run_a_coordinator(person.folder / "state")
    with pytest.raises(Unauthorized, match="state"):  # the token of the coordinator, which wrote none
        resolve("wc", NOTHING)
    assert isinstance(resolve("wc", TYPED), OfCluster)
    assert not means_cluster(NOTHING)
    assert means_cluster(TYPED)


def test_a_folder_is_a_folder_unless_an_option_was_typed_for_a_cluster(person: Person) -> None:
    assert resolve("out/", NOTHING) == OfFolder(Path("out/"))
    assert resolve("out/", BY_ENVIRONMENT) == OfFolder(Path("out/"))
    with pytest.raises(UsageError, match="is no name of a MapReduceJob"):
        resolve("out/", TYPED)


def test_a_name_goes_before_a_folder_of_that_name_where_a_cluster_is_meant(person: Person) -> None:
    person.cluster.job("wc")
    Path("wc").mkdir()
    assert isinstance(resolve("wc", TYPED), OfCluster)
    assert resolve("wc", NOTHING) == OfFolder(Path("wc"))


def test_an_output_on_a_claim_names_its_newest_job_or_what_is_left_of_it(person: Person) -> None:
    person.cluster.job("old", spec={"output": {"uri": "pvc://results/wc"}})
    newer = person.cluster.job("new", spec={"output": {"uri": "pvc://results/wc"}})
    newer["metadata"]["creationTimestamp"] = "2026-02-02T00:00:00Z"
    found = resolve("pvc://results/wc/", TYPED)
    assert isinstance(found, OfCluster)
    assert found.job.name == "new"
    gone = resolve("pvc://results/other", TYPED)
    assert isinstance(gone, OfClaim)
    assert gone.uri == "pvc://results/other"


def test_an_output_in_a_cluster_and_a_coordinator_outside_one_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="leave out --dir and --coordinator"):
        resolve("pvc://results/wc", AT_FOLDER)


def test_with_neither_coordinator_nor_kubeconfig_the_error_says_what_could_be_named(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "none")
    with pytest.raises(Unreachable, match="no coordinator of yours runs here, and there is no kubeconfig"):
        resolve("wc", NOTHING)


@pytest.mark.parametrize(
    ("name", "words"),
    [("out/", "is a folder of this machine"), ("pvc://results/none", "no MapReduceJob writes to")],
)
def test_a_command_for_clusters_says_what_else_a_name_is(person: Person, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        in_cluster(name, NOTHING)
