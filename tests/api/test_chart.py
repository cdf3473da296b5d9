"""The chart, by Helm 3 and by Helm 4, against a real API server: linted, rendered, installed, removed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from cluster import build, caching, gobuild, programs
from cluster.controlplane import ControlPlane
from cluster.errors import ClusterError, CommandFailed
from mapreduce_cli.cluster import health
from mapreduce_operator import rbac
from mapreduce_operator.naming import OPERATOR_LABELS
from tests.support.operatorrelease import CHART, helm, set_values
from tools import draw_install

Object = dict[str, Any]
MAJORS: Final = (3, 4)
DEFINITION: Final = "mapreducejobs.mapreduce.dev"
_numbers = itertools.count(1)
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
EVERYTHING: Final = {
    "watchNamespaces": "{team-a,team-b}",
    "metrics.podMonitor.enabled": "true",
    "metrics.dashboard.enabled": "true",
    "networkPolicy.enabled": "true",
    "imagePullSecrets": "{registry}",
    "priorityClassName": "important",
    "image.digest": f"sha256:{'a' * 64}",
}


@pytest.fixture(scope="module", autouse=True)
def helms() -> None:
    """Both Helms, built where they are asked for."""
    if os.environ.get("REQUIRE_CLUSTER") == "1":
        build.build({"helm"})
        return
    try:
        missing = [unit.name for unit in programs.units_of("helm") if not _is_built(unit)]
    except ClusterError as error:
        pytest.skip(str(error))
    if missing:
        pytest.skip(f"{', '.join(missing)} not built: run `python3 cluster/build.py --only helm`")


@pytest.fixture(scope="module")
def own_plane(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server of this module's own: the definition comes and goes, and with it all jobs."""
    with ControlPlane.running(tmp_path_factory.mktemp("chart")) as running:
        yield running


@pytest.fixture
def bare_plane(own_plane: ControlPlane) -> ControlPlane:
    """That server without the definition."""
    own_plane.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")
    return own_plane


@pytest.mark.parametrize("major", MAJORS)
def test_helm_finds_nothing_to_complain_about(major: int) -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), "--strict", *set_values(EVERYTHING), major=major)


def test_both_helms_render_the_same() -> None:
    texts = [helm("template", "x", str(CHART), *set_values(EVERYTHING), major=major) for major in MAJORS]
    assert _by_name(texts[0]) == _by_name(texts[1])


def test_install_yaml_and_the_chart_are_what_their_sources_say() -> None:
    assert draw_install.COPY.read_text(encoding="utf-8") == draw_install.DEFINITION.read_text(encoding="utf-8")
    assert draw_install.PAGE.read_text(encoding="utf-8") == draw_install.install_yaml()


@pytest.mark.parametrize("major", MAJORS)
def test_a_release_is_installed_and_its_removal_leaves_the_definition_and_a_second_one_works(
    bare_plane: ControlPlane, major: int
) -> None:
    first, second = f"first-{next(_numbers)}", f"second-{next(_numbers)}"
    _helm_install(bare_plane, first, major)
    bare_plane.kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=30s")
    _helm(bare_plane, "uninstall", first, major=major)
    assert bare_plane.kubectl("get", "crd", DEFINITION, "-o", "name").strip().endswith(DEFINITION)
    _helm_install(bare_plane, second, major)
    _helm_install(bare_plane, second, major)
    assert f"{second}-mapreduce-operator" in bare_plane.kubectl("get", "deployments", "-o", "name")
    _helm(bare_plane, "uninstall", second, major=major)
    bare_plane.kubectl("get", "crd", DEFINITION)


def test_a_release_may_take_the_definition_with_it(bare_plane: ControlPlane) -> None:
    name = f"whole-{next(_numbers)}"
    _helm_install(bare_plane, name, 4, {"crds.keep": "false"})
    _helm(bare_plane, "uninstall", name, "--wait", major=4)
    assert bare_plane.kubectl("get", "crd", DEFINITION, "--ignore-not-found") == ""


def test_install_yaml_is_accepted_as_a_whole_and_again(bare_plane: ControlPlane) -> None:
    for _ in range(2):
        bare_plane.kubectl("apply", "--server-side", "-f", str(draw_install.PAGE))
    bare_plane.kubectl("delete", "-f", str(draw_install.PAGE), "--wait=false")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("imagee.tag", "1"),
        ("image.tagg", "1"),
        ("image.digest", "sha256:short"),
        ("log.level", "LOUD"),
        ("watchNamespaces", "{UPPER}"),
        ("metrics.podMonitor.intervall", "1s"),
        ("leaderElection.leaseSeconds", "0"),
    ],
)
def test_a_value_that_is_not_known_or_not_possible_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(CommandFailed, match=name.split(".")[-1]):
        helm("template", "x", str(CHART), *set_values({name: value}))


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    known = schema["properties"].keys() - {"global"}
    assert known == VALUES.keys()
    for name, found in schema["properties"].items():
        described = (
            found if "properties" in found else schema["definitions"].get(found.get("$ref", "").split("/")[-1], {})
        )
        if "properties" in described:
            assert described["properties"].keys() == VALUES[name].keys()
            assert described["additionalProperties"] is False


def test_the_operator_may_do_what_its_own_list_says_and_nothing_else() -> None:
    everywhere = _rendered({})
    assert _rules(everywhere, "ClusterRole", "x-mapreduce-operator") == _listed(*rbac.NAMESPACED, *rbac.CLUSTER)
    assert _rules(everywhere, "Role", "x-mapreduce-operator-leader") == _listed(*rbac.OWN_NAMESPACE)


def test_with_named_namespaces_it_may_do_that_there_only_and_see_nodes() -> None:
    some = _rendered({"watchNamespaces": "{team-a,team-b}"})
    roles = [one for one in some if one["kind"] == "Role" and one["metadata"]["name"] == "x-mapreduce-operator"]
    assert [one["metadata"]["namespace"] for one in roles] == ["team-a", "team-b"]
    assert all(_flat(one["rules"]) == _listed(*rbac.NAMESPACED) for one in roles)
    assert _rules(some, "ClusterRole", "x-mapreduce-operator-ns") == _listed(*rbac.CLUSTER)
    without = _rendered({"watchNamespaces": "{team-a}", "rbac.nodes": "false"})
    assert [one for one in without if one["kind"] == "ClusterRoleBinding"] == []


def test_whoever_may_edit_may_do_all_that_the_command_line_does() -> None:
    given = _rules(_rendered({}), "ClusterRole", "x-mapreduce-operator-edit")
    needed = {
        (group, f"{resource}/{below}" if below else resource, verb)
        for _, group, resource, below, verbs in health.RIGHTS
        for verb in verbs
    }
    assert needed - given == set()


def test_whoever_may_only_view_can_neither_change_a_job_nor_read_a_token() -> None:
    given = _rules(_rendered({}), "ClusterRole", "x-mapreduce-operator-view")
    assert {verb for _, _, verb in given} == {"get", "list", "watch"}
    assert {resource for _, resource, _ in given} == {"mapreducejobs", "mapreducejobs/status"}


def test_releases_of_one_name_in_two_namespaces_share_no_object_of_the_cluster() -> None:
    names = [
        {
            (one["kind"], one["metadata"]["name"])
            for one in _rendered({"watchNamespaces": "{team-a}", "crds.install": "false"}, namespace=namespace)
            if one["kind"] in {"ClusterRole", "ClusterRoleBinding"}
        }
        for namespace in ("team-a", "team-b")
    ]
    assert [len(found) for found in names] == [4, 4]
    assert names[0] & names[1] == set()


def test_jobs_and_the_command_line_find_the_operator_whatever_its_release_is_called() -> None:
    deployment = _one(_rendered({"nameOverride": "engine", "fullnameOverride": "our-engine"}), "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert OPERATOR_LABELS.items() <= labels.items()
    assert OPERATOR_LABELS.items() <= deployment["metadata"]["labels"].items()
    assert OPERATOR_LABELS.keys().isdisjoint(deployment["spec"]["selector"]["matchLabels"])


def test_the_notes_of_an_operator_of_some_namespaces_name_one_of_them() -> None:
    chosen = set_values({"watchNamespaces": "{team-a,team-b}"})
    told = helm("install", "x", str(CHART), "--dry-run=client", *chosen).split("NOTES:")[1]
    assert "kubectl apply -n team-a -f" in told
    assert "kubectl wait -n team-a " in told
    assert "mr get wordcount --merge -n team-a" in told


@pytest.mark.parametrize("major", MAJORS)
def test_who_administers_a_namespace_and_nothing_else_can_install_an_operator_for_it(
    own_plane: ControlPlane, major: int
) -> None:
    own_plane.kubectl("apply", "--server-side", "-f", str(draw_install.DEFINITION))
    name = f"team-{next(_numbers)}"
    own_plane.kubectl("create", "namespace", name)
    own_plane.kubectl(
        "create", "rolebinding", "admin", "--namespace", name, "--clusterrole=cluster-admin", "--user=ann"
    )
    chosen = {
        "watchNamespaces": f"{{{name}}}",
        "rbac.nodes": "false",
        "rbac.aggregateToUsers": "false",
        "crds.install": "false",
    }
    words = ("install", "mine", str(CHART), "--namespace", name, "--kube-as-user", "ann", *set_values(chosen))
    assert "STATUS: deployed" in _helm(own_plane, *words, major=major)


def test_no_role_has_a_wildcard() -> None:
    rules = [rule for one in _rendered(EVERYTHING) for rule in one.get("rules", [])]
    assert rules
    assert not any("*" in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs"))


def test_every_pod_keeps_to_the_restricted_standard() -> None:
    for pod in _pods(_rendered(EVERYTHING, with_tests=True)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_an_image_is_named_by_its_digest_before_its_tag() -> None:
    deployment = _one(_rendered({"image.tag": "1.2.3", "image.digest": f"sha256:{'b' * 64}"}), "Deployment")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"mapreduce-operator@sha256:{'b' * 64}"


def test_every_object_has_the_recommended_labels() -> None:
    labels = {
        f"app.kubernetes.io/{name}" for name in ("name", "instance", "version", "component", "part-of", "managed-by")
    }
    bare = [one["kind"] for one in _rendered(EVERYTHING, with_tests=True) if labels - one["metadata"]["labels"].keys()]
    assert bare == []


def test_large_numbers_of_the_definition_stay_numbers() -> None:
    rendered = _one(_rendered({}), "CustomResourceDefinition")
    own = yaml.safe_load(draw_install.DEFINITION.read_text(encoding="utf-8"))
    assert rendered["spec"] == own["spec"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_what_is_switched_off_is_not_there() -> None:
    off = {
        "crds.install": "false",
        "rbac.create": "false",
        "serviceAccount.create": "false",
        "serviceAccount.name": "mine",
    }
    assert {one["kind"] for one in _rendered(off)} == {"Deployment"}


def _is_built(unit: programs.Unit) -> bool:
    return (caching.cache_root() / gobuild.entry_of(unit)).is_dir()


def _rendered(values: Mapping[str, str], *, with_tests: bool = False, namespace: str = "ns") -> list[Object]:
    skipping = [] if with_tests else ["--skip-tests"]
    text = helm("template", "x", str(CHART), "--namespace", namespace, *skipping, *set_values(dict(values)))
    return [one for one in yaml.safe_load_all(text) if one]


def _by_name(text: str) -> dict[tuple[str, str, str], Object]:
    objects = [one for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}


def _one(objects: list[Object], kind: str) -> Object:
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def _pods(objects: list[Object]) -> list[Object]:
    deployments = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    return deployments + [one["spec"] for one in objects if one["kind"] == "Pod"]


def _rules(objects: list[Object], kind: str, name: str) -> set[tuple[str, str, str]]:
    (found,) = (one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
    return _flat(found["rules"])


def _flat(rules: list[Object]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _listed(*rules: rbac.Rule) -> set[tuple[str, str, str]]:
    return {(rule.group, rule.resource, verb) for rule in rules for verb in rule.verbs}


def _helm_install(plane: ControlPlane, name: str, major: int, values: Mapping[str, str] | None = None) -> None:
    chosen = set_values(dict(values or {}))
    _helm(plane, "upgrade", "--install", name, str(CHART), "--namespace", "default", *chosen, major=major)


def _helm(plane: ControlPlane, *args: str, major: int) -> str:
    return helm(*args, kubeconfig=str(plane.kubeconfig), major=major, timeout_s=120)
