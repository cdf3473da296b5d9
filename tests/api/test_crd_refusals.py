"""What the API server refuses of a job, each with words that name the field and what to write instead."""

from __future__ import annotations

import pytest

from mapreduce_operator.crd.rules import RULES
from tests.support.crdjobs import CODE, GONE, job
from tests.support.kubeapi import ApiRefused, KubeApi, path_of

URL = "https://data.example/a.csv"
INPUT = {"uri": "pvc://books/a.txt"}

#: What is wrong, changes to a good job, the field that must be named, words that must be said.
BAD: list[tuple[str, list[tuple[str, object]], str, str]] = [
    ("no spec", [("spec", GONE)], "spec", "Required value"),
    ("an unknown field", [("spec.reduceer", "sum")], "spec.reduceer", "unknown field"),
    ("an unknown field below", [("spec.workers.cpus", 2)], "spec.workers.cpus", "unknown field"),
    ("an unknown field of an input", [("spec.inputs.0.url", "x")], "spec.inputs[0].url", "unknown field"),
    ("a long name", [("metadata.name", "n" * 64)], "metadata.name", "at most 63 characters"),
    # code
    ("no code", [("spec.code", GONE)], "spec.code", "Required value"),
    ("empty code", [("spec.code", {})], "spec.code", "exactly one of inline, configMapRef, module and volumePath"),
    ("code twice", [("spec.code.module", "wc")], "spec.code", "exactly one of"),
    (
        "code three times",
        [("spec.code", {"inline": CODE, "module": "w", "volumePath": "pvc://a/b"})],
        "spec.code",
        "one",
    ),
    ("code as text", [("spec.code", CODE)], "spec.code", "must be of type object"),
    ("inline code of no characters", [("spec.code.inline", "")], "spec.code.inline", "at least 1 chars"),
    ("inline code too long", [("spec.code.inline", "#" * 65_537)], "spec.code.inline", "may not be more than 65536"),
    ("a ConfigMap without a name", [("spec.code", {"configMapRef": {}})], "spec.code.configMapRef.name", "Required"),
    (
        "a ConfigMap in capitals",
        [("spec.code", {"configMapRef": {"name": "Code"}})],
        "configMapRef.name",
        "should match",
    ),
    (
        "a ConfigMap's key with a slash",
        [("spec.code", {"configMapRef": {"name": "code", "key": "a/b.py"}})],
        "spec.code.configMapRef.key",
        "should match",
    ),
    (
        "a path of this machine",
        [("spec.code", {"volumePath": "jobs/wc.py"})],
        "spec.code.volumePath",
        "pvc://CLAIM/PATH",
    ),
    (
        "a claim without a path",
        [("spec.code", {"volumePath": "pvc://code"})],
        "spec.code.volumePath",
        "pvc://CLAIM/PATH",
    ),
    ("a way out of the claim", [("spec.code", {"volumePath": "pvc://c/../x"})], "spec.code.volumePath", "'..'"),
    (
        "a file name with a NUL",
        [("spec.code", {"volumePath": "pvc://c/a\0"})],
        "spec.code.volumePath",
        "NUL",
    ),
    ("a module of no characters", [("spec.code", {"module": ""})], "spec.code.module", "at least 1 chars"),
    # inputs
    ("no inputs", [("spec.inputs", GONE)], "spec.inputs", "Required value"),
    ("an empty list of inputs", [("spec.inputs", [])], "spec.inputs", "at least 1 items"),
    ("too many inputs", [("spec.inputs", [INPUT] * 1_001)], "spec.inputs", "at most 1000 items"),
    ("an input as text", [("spec.inputs", ["pvc://books/a"])], "spec.inputs[0]", "must be of type object"),
    ("an empty input", [("spec.inputs.0", {})], "spec.inputs[0]", "exactly one of uri"),
    ("an input twice", [("spec.inputs.0.inline", "text")], "spec.inputs[0]", "exactly one of uri"),
    ("an empty uri", [("spec.inputs.0.uri", "")], "spec.inputs[0].uri", "at least 1 chars"),
    ("a uri too long", [("spec.inputs.0.uri", "pvc://a/" + "b" * 2_048)], "spec.inputs[0].uri", "more than 2048"),
    ("a path of this machine", [("spec.inputs.0.uri", "books/*.txt")], "spec.inputs[0].uri", "uri is books/*.txt, but"),
    ("an absolute path", [("spec.inputs.0.uri", "/etc/passwd")], "spec.inputs[0].uri", "pvc://CLAIM/PATH"),
    ("file:", [("spec.inputs.0.uri", "file:///etc/passwd")], "spec.inputs[0].uri", "pvc://CLAIM/PATH"),
    ("s3:", [("spec.inputs.0.uri", "s3://bucket/key")], "spec.inputs[0].uri", "must be pvc://CLAIM/PATH"),
    ("a claim without a name", [("spec.inputs.0.uri", "pvc:///a.txt")], "spec.inputs[0].uri", "must name a claim"),
    ("a claim in capitals", [("spec.inputs.0.uri", "pvc://Books/a")], "spec.inputs[0].uri", "in lower case"),
    ("a ConfigMap without a name", [("spec.inputs.0.uri", "configmap://")], "spec.inputs[0].uri", "must name a claim"),
    ("a way out of the claim", [("spec.inputs.0.uri", "pvc://books/../../x")], "spec.inputs[0].uri", "'..' or NUL"),
    ("a way out at the end", [("spec.inputs.0.uri", "pvc://books/..")], "spec.inputs[0].uri", "'..' or NUL"),
    ("a dot in a path", [("spec.inputs.0.uri", "pvc://books/./a")], "spec.inputs[0].uri", "contain '.', '..' or NUL"),
    ("a NUL in a path", [("spec.inputs.0.uri", "pvc://books/\0")], "spec.inputs[0].uri", "'..' or NUL"),
    ("a name too long", [("spec.inputs.0.uri", f"pvc://{'b' * 254}/a")], "spec.inputs[0].uri", "must name a claim"),
    (
        "a password in a URL",
        [("spec.inputs.0.uri", "https://me:word@data.example/a")],
        "spec.inputs[0].uri",
        "secretRef",
    ),
    ("a URL without a host", [("spec.inputs.0.uri", "https:///a.txt")], "spec.inputs[0].uri", "must name a host"),
    ("a secret for a claim", [("spec.inputs.0.secretRef", {"name": "s"})], "spec.inputs[0].secretRef", "http://"),
    (
        "a secret for a text",
        [("spec.inputs.0", {"inline": "x", "secretRef": {"name": "s"}})],
        "secretRef",
        "leave it out",
    ),
    ("a secret without a name", [("spec.inputs.0", {"uri": URL, "secretRef": {}})], "secretRef.name", "Required value"),
    ("a format of ours alone", [("spec.inputs.0.format", "parquet")], "spec.inputs[0].format", '"lines", "files"'),
    ("an encoding", [("spec.inputs.0.encoding", "latin-1")], "spec.inputs[0].encoding", '"utf-8", "bytes"'),
    (
        "bytes as csv",
        [("spec.inputs.0.encoding", "bytes"), ("spec.inputs.0.format", "csv")],
        "spec.inputs[0].encoding",
        "use lines or files",
    ),
    ("the second input", [("spec.inputs", [INPUT, {"uri": "a"}])], "spec.inputs[1].uri", "uri is a, but"),
    ("long texts", [("spec.inputs", [{"inline": "x" * 65_536}] * 5)], "spec.inputs", "262144 characters long together"),
    # output
    ("no output", [("spec.output", GONE)], "spec.output", "Required value"),
    ("an output without uri", [("spec.output", {})], "spec.output.uri", "Required value"),
    ("an output here", [("spec.output.uri", "out/")], "spec.output.uri", "pvc://CLAIM/FOLDER"),
    ("an output in a ConfigMap", [("spec.output.uri", "configmap://a/b")], "spec.output.uri", "pvc://CLAIM/FOLDER"),
    ("an output by http", [("spec.output.uri", "http://a/b")], "spec.output.uri", "pvc://CLAIM/FOLDER"),
    ("a whole claim as output", [("spec.output.uri", "pvc://results/")], "spec.output.uri", "pvc://CLAIM/FOLDER"),
    (
        "an output outside",
        [("spec.output.uri", "pvc://results/a/../..")],
        "spec.output.uri",
        "must not contain '.', '..'",
    ),
    ("an output's format", [("spec.output.format", "csv")], "spec.output.format", '"text", "jsonl"'),
    ("an output's overwrite", [("spec.output.overwrite", True)], "spec.output.overwrite", "must be of type string"),
    (
        "parts of one name",
        [("spec.output.nameTemplate", "part")],
        "spec.output.nameTemplate",
        "must contain {partition}",
    ),
    ("parts in folders", [("spec.output.nameTemplate", "a/{partition}")], "spec.output.nameTemplate", "a slash"),
    (
        "parts with other braces",
        [("spec.output.nameTemplate", "{partition}{x}")],
        "spec.output.nameTemplate",
        "no other",
    ),
    ("parts in hexadecimal", [("spec.output.nameTemplate", "{partition:x}")], "spec.output.nameTemplate", "no other"),
    (
        "parts of long names",
        [("spec.output.nameTemplate", "ü" * 96 + "{partition}")],
        "spec.output.nameTemplate",
        "200 bytes",
    ),
    ("hidden parts", [("spec.output.nameTemplate", ".{partition}")], "spec.output.nameTemplate", "begin with a dot"),
    ("a claim of size 0", [("spec.output.claimTemplate", {"size": "0Gi"})], "claimTemplate.size", "should match"),
    ("a claim of 1 GB", [("spec.output.claimTemplate", {"size": 1})], "claimTemplate.size", "must be of type string"),
    (
        "a claim for one pod",
        [("spec.output.claimTemplate", {"accessMode": "ReadWriteOncePod"})],
        "spec.output.claimTemplate.accessMode",
        '"ReadWriteOnce", "ReadWriteMany"',
    ),
    # functions and arguments
    ("a mapper of no name", [("spec.mapper", "")], "spec.mapper", "at least 1 chars"),
    ("a reducer that is a number", [("spec.reducer", 2)], "spec.reducer", "must be of type string"),
    ("reducers as text", [("spec.reducers", "4")], "spec.reducers", "must be of type integer"),
    ("reducers below zero", [("spec.reducers", -1)], "spec.reducers", "greater than or equal to 0"),
    ("too many reducers", [("spec.reducers", 100_001)], "spec.reducers", "less than or equal to 100000"),
    ("half a reducer", [("spec.reducers", 1.5)], "spec.reducers", "must be of type integer"),
    ("an argument that is no text", [("spec.args", {"n": 10})], "spec.args.n", "must be of type string"),
    ("a long name of an argument", [("spec.args", {"n" * 254: ""})], "spec.args", "at most 253 characters"),
    ("a long argument", [("spec.args", {"n": "x" * 65_537})], "spec.args.n", "more than 65536"),
    ("too many arguments", [("spec.args", {str(n): "" for n in range(1_001)})], "spec.args", "at most 1000"),
    ("splits of no bytes", [("spec.splitSizeBytes", 0)], "spec.splitSizeBytes", "greater than or equal to 1"),
    # workers, storage, image
    ("workers below zero", [("spec.workers.replicas", -1)], "spec.workers.replicas", "greater than or equal to 0"),
    ("too many workers", [("spec.workers.replicas", 10_001)], "spec.workers.replicas", "less than or equal to 10000"),
    ("no slots", [("spec.workers.slots", 0)], "spec.workers.slots", "greater than or equal to 1"),
    ("little memory", [("spec.workers.memoryBudgetBytes", 1)], "spec.workers.memoryBudgetBytes", "equal to 1048576"),
    ("a template as text", [("spec.workers.podTemplate", "x")], "spec.workers.podTemplate", "must be of type object"),
    ("a template as list", [("spec.coordinator.podTemplate", [])], "spec.coordinator.podTemplate", "type object"),
    (
        "a log twice",
        [("spec.storage.log", {"claimName": "a", "claimTemplate": {}})],
        "spec.storage.log",
        "at most one of claimName",
    ),
    (
        "runs twice",
        [("spec.storage.runs", {"claimName": "a", "claimTemplate": {}})],
        "spec.storage.runs",
        "at most one of claimName",
    ),
    (
        "runs on a claim with Peer",
        [("spec.storage", {"shuffle": "Peer", "runs": {"claimName": "a"}})],
        "spec.storage.runs",
        "leave it out",
    ),
    ("a shuffle", [("spec.storage.shuffle", "peer")], "spec.storage.shuffle", '"Shared", "Peer"'),
    ("how long runs stay", [("spec.storage.retainRuns", "Sometimes")], "spec.storage.retainRuns", '"OnFailure"'),
    ("an image with a space", [("spec.image", "my image")], "spec.image", "should match"),
    ("a pull policy", [("spec.imagePullPolicy", "always")], "spec.imagePullPolicy", '"IfNotPresent"'),
    ("a pull secret as text", [("spec.imagePullSecrets", ["a"])], "spec.imagePullSecrets[0]", "type object"),
    # limits
    ("suspend as text", [("spec.suspend", "yes")], "spec.suspend", "must be of type boolean"),
    ("no attempts", [("spec.maxAttempts", 0)], "spec.maxAttempts", "greater than or equal to 1"),
    ("too many attempts", [("spec.maxAttempts", 101)], "spec.maxAttempts", "less than or equal to 100"),
    ("no lost attempts", [("spec.maxLostAttempts", 0)], "spec.maxLostAttempts", "greater than or equal to 1"),
    ("a lease of nothing", [("spec.leaseSeconds", 0)], "spec.leaseSeconds", "greater than or equal to 1"),
    ("a lease with a unit", [("spec.leaseSeconds", "30s")], "spec.leaseSeconds", "must be of type integer"),
    ("no time for a task", [("spec.taskTimeoutSeconds", 0)], "spec.taskTimeoutSeconds", "greater than or equal to 1"),
    ("no time at all", [("spec.activeDeadlineSeconds", 0)], "spec.activeDeadlineSeconds", "greater than or equal to 1"),
    (
        "no time to wait",
        [("spec.pendingDeadlineSeconds", 0)],
        "spec.pendingDeadlineSeconds",
        "greater than or equal to 1",
    ),
    ("gone before its end", [("spec.ttlSecondsAfterFinished", -1)], "spec.ttlSecondsAfterFinished", "equal to 0"),
]


@pytest.mark.parametrize(
    ("changes", "field", "said"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in BAD]
)
def test_a_bad_job_is_refused_in_words_that_name_the_field(
    api: KubeApi, namespace_of_all: str, changes: list[tuple[str, object]], field: str, said: str
) -> None:
    refusal = _refusal(api, namespace_of_all, changes)
    assert field in refusal
    assert said in refusal


def test_every_rule_of_the_definition_is_broken_by_one_of_these_jobs(api: KubeApi, namespace_of_all: str) -> None:
    told = " ".join(_refusal(api, namespace_of_all, changes) for _, changes, *_ in BAD)
    rules = [rule for rules in RULES.values() for rule in rules]
    assert [rule.message for rule in rules if rule.message not in told and not rule.shows] == []


def _refusal(api: KubeApi, namespace: str, changes: list[tuple[str, object]]) -> str:
    with pytest.raises(ApiRefused) as caught:
        api.ask("POST", f"{path_of('mapreducejobs', namespace)}?dryRun=All&fieldValidation=Strict", job(*changes))
    return caught.value.message


@pytest.fixture(scope="module")
def namespace_of_all(api: KubeApi) -> str:
    """One namespace will do, as nothing is kept."""
    api.create("namespaces", "", {"metadata": {"name": "refusals"}})
    return "refusals"
