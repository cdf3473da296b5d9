"""What the API server accepts of a job, that it keeps it as it was written, and what may be edited after the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mapreduce import manifest
from mapreduce_operator.crd.rules import FROZEN
from tests.support.crdjobs import GONE, job, put
from tests.support.kubeapi import ApiRefused, KubeApi, Object, path_of
from tests.support.tree import ROOT

EXAMPLES = [pytest.param(path, id=path.stem) for path in sorted((ROOT / "examples").glob("*.yaml"))]
URL = "https://data.example:8443/a.csv?signature=x@y"
POD = {
    "spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "agent", "resources": {"limits": {"cpu": 1}}}]}
}

GOOD: list[tuple[str, list[tuple[str, object]]]] = [
    ("as little as can be", []),
    ("a name as long as can be", [("metadata.name", "n" * 63)]),
    ("a generated name", [("metadata", {"generateName": "words-"})]),
    ("a name with dots", [("metadata.name", "a.b-c")]),
    ("inline code as long as can be", [("spec.code.inline", "#" * 65_536)]),
    ("code in a ConfigMap", [("spec.code", {"configMapRef": {"name": "code", "key": "word_count.py"}})]),
    ("code in a ConfigMap under the usual key", [("spec.code", {"configMapRef": {"name": "my.code"}})]),
    ("code in the image", [("spec.code", {"module": "acme.jobs.words"})]),
    ("code on a claim", [("spec.code", {"volumePath": "pvc://code/jobs/word count.py"})]),
    ("a file name with two dots", [("spec.inputs.0.uri", "pvc://books/a..b/..c/d..")]),
    ("a whole claim", [("spec.inputs.0.uri", "pvc://books")]),
    ("a glob", [("spec.inputs.0.uri", "pvc://books/2024-*/**/[a-c]?.txt")]),
    ("a ConfigMap", [("spec.inputs.0.uri", "configmap://books/moby.txt")]),
    ("a URL", [("spec.inputs.0.uri", URL)]),
    ("a URL with a secret", [("spec.inputs.0", {"uri": URL, "secretRef": {"name": "token"}, "format": "csv"})]),
    ("a text", [("spec.inputs.0", {"inline": "to be or not to be\n"})]),
    ("an empty text", [("spec.inputs.0", {"inline": ""})]),
    ("bytes of lines", [("spec.inputs.0.encoding", "bytes"), ("spec.inputs.0.format", "lines")]),
    ("a thousand inputs", [("spec.inputs", [{"uri": "pvc://a/" + "b" * 2_040}] * 200 + [{"inline": "x"}] * 800)]),
    ("a claim for the output", [("spec.output.claimTemplate", {"size": "10Gi", "storageClassName": "fast.local"})]),
    ("the usual claim for the output", [("spec.output.claimTemplate", {})]),
    ("names of parts", [("spec.output.nameTemplate", "words-{partition:03d}.txt"), ("spec.output.format", "jsonl")]),
    ("map-only", [("spec.reducers", 0)]),
    ("all functions", [("spec.mapper", "m"), ("spec.reducer", "sum"), ("spec.combiner", "größe")]),
    ("a thousand arguments", [("spec.args", {f"{n:03d}" + "n" * 250: "x" * 100 for n in range(1_000)})]),
    ("no workers yet", [("spec.workers", {"replicas": 0})]),
    ("pod templates", [("spec.workers.podTemplate", POD), ("spec.coordinator.podTemplate", POD)]),
    ("Peer", [("spec.storage", {"shuffle": "Peer", "log": {"claimTemplate": {"size": "2Gi"}}, "retainRuns": "Never"})]),
    ("Peer with runs of nothing", [("spec.storage", {"shuffle": "Peer", "runs": {}})]),
    ("own claims", [("spec.storage", {"log": {"claimName": "log"}, "runs": {"claimName": "log"}})]),
    ("an image", [("spec.image", "registry.example:5000/team/words@sha256:" + "0" * 64)]),
    ("pull secrets", [("spec.imagePullSecrets", [{"name": "a"}, {"name": "b"}]), ("spec.imagePullPolicy", "Always")]),
    ("suspended from the start", [("spec.suspend", True)]),
    ("all limits", [(f"spec.{name}", 1) for name in ("maxAttempts", "maxLostAttempts", "leaseSeconds")]),
    ("deadlines", [(f"spec.{name}DeadlineSeconds", 60) for name in ("active", "pending")]),
    ("gone at its end", [("spec.ttlSecondsAfterFinished", 0)]),
]

#: Another value for each field that decides the result.
OTHER: dict[str, object] = {
    "code": {"module": "words"},
    "inputs": [{"uri": "pvc://books/other.txt"}],
    "output": {"uri": "pvc://results/other"},
    "mapper": "other",
    "combiner": "other",
    "reducer": "other",
    "reducers": 7,
    "args": {"n": "7"},
    "splitSizeBytes": 7,
    "storage": {"shuffle": "Peer"},
    "image": "other",
}
#: What may change at any time.
FREE: dict[str, object] = {
    "suspend": True,
    "workers": {"replicas": 7, "slots": 2},
    "activeDeadlineSeconds": 60,
    "pendingDeadlineSeconds": 60,
    "ttlSecondsAfterFinished": 60,
    "maxAttempts": 9,
    "imagePullPolicy": "Always",
    "coordinator": {"podTemplate": POD},
}


@pytest.mark.parametrize("changes", [pytest.param(row[1], id=row[0].replace(" ", "-")) for row in GOOD])
def test_a_good_job_is_accepted_and_kept_as_it_was_written(
    api: KubeApi, namespace_of_all: str, changes: list[tuple[str, object]]
) -> None:
    written = job(*changes)
    kept = _dry_run(api, namespace_of_all, written)
    put(written, "spec.workers.replicas", kept["spec"]["workers"]["replicas"])  # the one value that the server adds
    assert kept["spec"] == written["spec"]


@pytest.mark.parametrize("path", EXAMPLES)
def test_every_example_is_accepted(api: KubeApi, namespace_of_all: str, path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    kinds = [document["kind"] for document in documents]
    assert kinds.count("MapReduceJob") == 1
    for document in documents:
        resource = {"MapReduceJob": "mapreducejobs", "ConfigMap": "configmaps"}[document["kind"]]
        api.ask("POST", f"{path_of(resource, namespace_of_all)}?dryRun=All&fieldValidation=Strict", document)


def test_a_job_read_back_from_the_server_is_still_a_manifest(api: KubeApi, namespace: str) -> None:
    kept = api.create("mapreducejobs", namespace, job(("spec.reducer", "sum")))
    read = manifest.from_yaml(yaml.safe_dump(kept))
    assert read.spec.reducer == "sum"
    assert read.spec.workers.replicas == 2


@pytest.mark.parametrize("field", FROZEN)
def test_what_decides_the_result_is_frozen_once_the_job_has_started(api: KubeApi, namespace: str, field: str) -> None:
    api.create("mapreducejobs", namespace, job())
    _start(api, namespace)
    with pytest.raises(ApiRefused) as caught:
        _set(api, namespace, field, OTHER[field])
    assert f"spec.{field}: Forbidden: spec.{field} cannot be changed once the job has started" in caught.value.message


@pytest.mark.parametrize("field", FROZEN)
def test_before_the_start_everything_may_be_edited(api: KubeApi, namespace: str, field: str) -> None:
    api.create("mapreducejobs", namespace, job())
    api.patch("mapreducejobs", namespace, "job", {"status": {"state": "Pending"}}, "status")
    assert _set(api, namespace, field, OTHER[field])["spec"][field] == OTHER[field]


@pytest.mark.parametrize("field", sorted(set(FROZEN) - {"code", "inputs", "output"}))
def test_a_field_that_decides_the_result_cannot_be_left_out_either(api: KubeApi, namespace: str, field: str) -> None:
    api.create("mapreducejobs", namespace, job((f"spec.{field}", OTHER[field])))
    _start(api, namespace)
    with pytest.raises(ApiRefused, match=rf"spec.{field} cannot be changed once the job has started"):
        _set(api, namespace, field, GONE)


@pytest.mark.parametrize("field", FREE)
def test_how_a_job_is_run_may_be_edited_while_it_runs(api: KubeApi, namespace: str, field: str) -> None:
    api.create("mapreducejobs", namespace, job())
    _start(api, namespace)
    assert _set(api, namespace, field, FREE[field])["spec"][field] == FREE[field]


def test_labels_and_the_status_of_a_started_job_may_change(api: KubeApi, namespace: str) -> None:
    api.create("mapreducejobs", namespace, job())
    _start(api, namespace)
    api.patch("mapreducejobs", namespace, "job", {"metadata": {"labels": {"team": "a"}}})
    done = api.patch("mapreducejobs", namespace, "job", {"status": {"state": "Complete"}}, "status")
    assert (done["status"]["state"], done["metadata"]["labels"]) == ("Complete", {"team": "a"})


def _start(api: KubeApi, namespace: str) -> None:
    api.patch("mapreducejobs", namespace, "job", {"status": {"startTime": "2026-01-01T00:00:00Z"}}, "status")


def _set(api: KubeApi, namespace: str, field: str, value: object) -> Object:
    """Replaces the object with one whose field is another, as `kubectl replace` does."""
    held: Any = api.get("mapreducejobs", namespace, "job")
    put(held, f"spec.{field}", value)
    return api.ask("PUT", path_of("mapreducejobs", namespace, "job"), held)


def _dry_run(api: KubeApi, namespace: str, content: Object) -> Object:
    return api.ask("POST", f"{path_of('mapreducejobs', namespace)}?dryRun=All&fieldValidation=Strict", content)


@pytest.fixture(scope="module")
def namespace_of_all(api: KubeApi) -> str:
    """One namespace will do for what is not kept."""
    api.create("namespaces", "", {"metadata": {"name": "acceptance"}})
    return "acceptance"
