"""The table of Go programs, the modules it names, and what follows from versions."""

from __future__ import annotations

import pytest

from cluster.build import GROUPS, needed_groups
from cluster.programs import (
    GO_FOLDER,
    UNITS,
    Unit,
    kubernetes_version,
    linker_flags,
    required_version,
    unit_of,
    units_of,
    version_of,
)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_has_a_module_with_pinned_sums(unit: Unit) -> None:
    folder = GO_FOLDER / unit.folder
    text = (folder / "go.mod").read_text()
    assert (folder / "go.sum").exists() or "require" not in text
    for package in unit.packages:
        assert (folder / "main.go").exists() if package == "." else package in text


def test_every_module_is_used() -> None:
    assert {path.name for path in GO_FOLDER.iterdir()} == {unit.folder for unit in UNITS}


def test_programs_have_one_maker_each() -> None:
    programs = [program for unit in UNITS for program in unit.programs]
    assert len(programs) == len(set(programs))
    assert unit_of("kubectl").name == "kubernetes-api"


def test_the_api_tier_needs_three_programs() -> None:
    assert [program for unit in units_of("api") for program in unit.programs] == ["etcd", "kube-apiserver", "kubectl"]


def test_units_belong_to_groups_that_can_be_asked_for() -> None:
    assert {unit.group for unit in UNITS} <= set(GROUPS)


def test_the_node_image_needs_what_it_is_made_from_and_no_helm() -> None:
    assert needed_groups(["node-image"]) == {"node-image", "api", "nodes", "base"}
    assert needed_groups(["api"]) == {"api"}


def test_all_parts_of_kubernetes_are_of_one_version() -> None:
    text = (GO_FOLDER / "kubernetes" / "go.mod").read_text()
    staged = {line.split()[-1] for line in text.splitlines() if "=>" in line}
    assert staged == {kubernetes_version().replace("v1.", "v0.")}


def test_what_shares_kubernetes_libraries_has_the_same_version_so_that_they_are_compiled_once() -> None:
    wanted = kubernetes_version().replace("v1.", "v0.")
    for folder in ("coredns", "local-path-provisioner", "helm3", "helm4"):
        assert version_of(folder, "k8s.io/client-go") == wanted


@pytest.mark.parametrize(
    "text", ["require example.com/a v1.2.3\n", "require (\n\texample.com/a v1.2.3 // indirect\n)\n"]
)
def test_a_version_is_found_in_either_form_of_require(text: str) -> None:
    assert required_version(text, "example.com/a") == "v1.2.3"


def test_a_module_that_is_only_replaced_is_not_required() -> None:
    with pytest.raises(LookupError, match=r"example\.com/a"):
        required_version("replace (\n\texample.com/a => example.com/a v1.2.3\n)\n", "example.com/a")


def test_programs_are_told_their_version() -> None:
    flags = linker_flags(unit_of("kubectl"), "v1.34.4", "v1.34.4")
    assert "version.gitVersion=v1.34.4 " in flags
    assert "version.gitMinor=34 " in flags


def test_helm_is_told_the_version_of_kubernetes_too() -> None:
    flags = linker_flags(unit_of("helm3"), "v3.19.5", "v1.34.4")
    assert "internal/version.version=v3.19.5 " in flags
    assert "chartutil.k8sVersionMinor=34" in flags
