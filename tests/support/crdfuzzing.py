"""Specifications for a cluster, good ones and ones changed at their limits, and what the model says of them."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import strategies as st

from mapreduce.errors import InvalidJobSpec
from mapreduce.jobspec import check_spec
from mapreduce.model import JobSpec
from mapreduce.volumes import in_pod
from mapreduce_operator.crd.flattening import Schema, described_fields
from mapreduce_operator.crd.resource import object_schema
from tests.support.crdjobs import GONE, put

SPEC: Schema = object_schema()["properties"]["spec"]
FIELDS = dict(described_fields(SPEC))

Specs = st.SearchStrategy[dict[str, Any]]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = st.sampled_from(["a", "my.claim-1", "0", "n" * 253])
PIECES = st.sampled_from(
    ["a", "a b", "a..b", "...", "..a", "*", "[x]?", "größe", "{partition}", "\n", "%2e%2e", "http:"]
)
PATHS = st.lists(PIECES, min_size=1, max_size=5).map("/".join)
VOLUME_URIS = st.builds("pvc://{}/{}{}".format, NAMES, PATHS, st.sampled_from(["", "/", "//"]))
INPUT_URIS = st.one_of(
    VOLUME_URIS,
    st.builds("configmap://{}/{}".format, NAMES, PATHS),
    st.builds("{}://{}".format, st.sampled_from(["pvc", "configmap"]), NAMES),
    st.builds("http{}://data.example{}/{}".format, st.sampled_from(["", "s"]), st.sampled_from(["", ":80"]), PATHS),
)
BAD_URIS = st.sampled_from([
    "", "a", "/a", "pvc:", "pvc://", "pvc:///a", "pvc://A/b", "pvc://a/../b", "pvc://a/.", "pvc://a/b/..", "s3://a/b",
    "pvc://a/\0", "configmap://a-/b", "configmap://" + "n" * 254 + "/a", "file:///a", "//a/b", "pvc://a", "pvc://a//",
    "pvc://.a/pvc://a/b", "pvc:/a/b", " pvc://a/b", "pvc://a\n/b", "https://", "http:a", "httpx://a", "https:///a",
])  # fmt: skip
TEMPLATES = st.sampled_from(
    [
        "{partition}",
        "{partition:05d}",
        "a-{partition:3}.txt",
        "{partition}{partition}",
        "größe{partition:0}",
        "a b{partition:}",
    ]
)
BAD_TEMPLATES = st.sampled_from([
    "", "a", "{", "{x}", "{}", "{partition", "partition}", "{partition!r}", "{partition:x}", "{partition.real}",
    "{{a}}", "{partition:010d}", "_{partition}", ".{partition}", "a/{partition}", "{partition}\0", "{partition}\n",
    "{partition:/>9}", "{partition[0]}", "ü" * 95 + "{partition}", "x" * 189 + "{partition}", "x" * 190 + "{partition}",
])  # fmt: skip


def _maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _leaf(path: str) -> st.SearchStrategy[Any]:
    """Values that the schema allows, its limits often among them."""
    schema = FIELDS[path]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        return st.one_of(st.sampled_from([low, high]), st.integers(low, high))
    return st.booleans() if schema["type"] == "boolean" else TEXT


CLAIM_TEMPLATES = _maybe(
    size=st.sampled_from(["1", "10Gi", "9" * 15 + "Pi"]),
    storageClassName=NAMES,
    accessMode=_leaf("output.claimTemplate.accessMode"),
)
VOLUMES: Specs = st.one_of(
    st.just({}), st.builds(dict, claimName=NAMES), st.builds(dict, claimTemplate=CLAIM_TEMPLATES)
)  # fmt: skip
POD_TEMPLATES = st.sampled_from([{}, {"spec": {"containers": [{"name": "agent", "env": []}], "anything": {"else": 1}}}])
CODE: Specs = st.one_of(
    st.builds(dict, inline=st.one_of(TEXT, st.sampled_from([1, 65_536]).map(lambda length: "#" * length))),
    st.builds(
        dict, configMapRef=st.fixed_dictionaries({"name": NAMES}, optional={"key": st.sampled_from(["a.py", "_"])})
    ),
    st.builds(dict, module=TEXT),
    st.builds(dict, volumePath=VOLUME_URIS),
)
_READING = st.sampled_from([{}, {"format": "csv"}, {"encoding": "bytes"}, {"format": "files", "encoding": "bytes"}])
INPUTS = st.one_of(
    st.builds(lambda uri, reading: {"uri": uri, **reading}, INPUT_URIS, _READING),
    st.builds(lambda text, reading: {"inline": text, **reading}, st.one_of(st.just(""), TEXT), _READING),
    st.just({"uri": "https://data.example/a", "secretRef": {"name": "token"}}),
)
OUTPUTS = st.fixed_dictionaries(
    {"uri": VOLUME_URIS},
    optional={
        "claimTemplate": CLAIM_TEMPLATES,
        "nameTemplate": TEMPLATES,
        "format": _leaf("output.format"),
        "overwrite": _leaf("output.overwrite"),
    },
)
_NUMBERS = (
    *("reducers", "splitSizeBytes", "maxAttempts", "maxLostAttempts", "leaseSeconds", "taskTimeoutSeconds"),
    *("activeDeadlineSeconds", "pendingDeadlineSeconds", "ttlSecondsAfterFinished"),
)
GOOD_SPECS = st.fixed_dictionaries(
    {"code": CODE, "inputs": st.lists(INPUTS, min_size=1, max_size=3), "output": OUTPUTS},
    optional={
        **{name: _leaf(name) for name in (*_NUMBERS, "suspend", "imagePullPolicy")},
        **dict.fromkeys(("mapper", "reducer", "combiner"), TEXT),
        "args": st.dictionaries(st.one_of(st.just("n" * 253), TEXT), st.one_of(st.just(""), TEXT), max_size=3),
        "image": st.just("registry.example:5000/words@sha256:" + "0" * 64),
        "imagePullSecrets": st.lists(st.builds(dict, name=NAMES), max_size=2),
        "coordinator": _maybe(podTemplate=POD_TEMPLATES),
        "workers": _maybe(
            podTemplate=POD_TEMPLATES,
            **{
                name: _leaf(f"workers.{name}")
                for name in ("replicas", "slots", "memoryBudgetBytes", "memoryLimitBytes")
            },
        ),
        "storage": st.one_of(
            _maybe(log=VOLUMES, runs=VOLUMES, shuffle=st.just("Shared"), retainRuns=_leaf("storage.retainRuns")),
            _maybe(log=VOLUMES, shuffle=st.just("Peer")),
        ),
    },
)
"""Specifications that a cluster can carry out, as they stand in an object."""


def _edges(path: str) -> st.SearchStrategy[Any]:
    """Values at, just within and just beyond what the schema allows for a field, and of other types."""
    schema = FIELDS[path]
    others: list[Any] = [GONE, "text", 7, 1.5, True, [], {}, ["text"], {"text": "text"}]
    if path.endswith((".uri", "volumePath")):
        return st.one_of(BAD_URIS, INPUT_URIS, st.sampled_from(others))
    if path.endswith("nameTemplate"):
        return st.one_of(BAD_TEMPLATES, TEMPLATES, st.sampled_from(others))
    match schema["type"]:
        case "integer":
            others += [schema["minimum"] - 1, schema["minimum"], schema["maximum"], schema["maximum"] + 1, 1 << 70]
        case "string" if "enum" in schema:
            others += [*schema["enum"], schema["enum"][0].lower(), schema["enum"][0] + "\n", ""]
        case "string":
            longest = schema["maxLength"]
            others += ["", "a", "a" * longest, "a" * (longest + 1), "ü" * longest, "A", "a\n", "\0", "a b", "-", "0"]
        case "array":
            others += [[{}], [None]]
        case _:
            others += [{"x": None}, {"n" * 253: "a"}, {"n" * 254: "a"}, {"ü" * 253: "a"}]
    return st.sampled_from(range(len(others))).map(lambda index: others[index])  # too long to be shown as choices


@st.composite
def changed_specs(draw: st.DrawFn) -> dict[str, Any]:
    """A good specification with one to three fields changed at their limits, whole groups of fields among them."""
    spec = copy.deepcopy(draw(GOOD_SPECS))
    for path in draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3)):
        value = draw(_edges(path))
        try:
            put(spec, path.replace("[]", ".0"), value)
        except (AttributeError, IndexError, TypeError, ValueError):
            continue  # an earlier change took the place away
    return spec


def model_problem(raw: object) -> str:
    """What the engine says against a specification as an object holds it; empty when it would run it in a pod."""
    try:
        in_pod(check_spec(msgspec.convert(raw, JobSpec)))
    except (msgspec.ValidationError, InvalidJobSpec) as error:
        return str(error)
    return ""


def is_tighter_in_a_cluster(spec: dict[str, Any]) -> bool:
    """Whether a bound of the resource may be broken that the engine itself does not have."""
    inputs = spec.get("inputs")
    uris = (
        [str(entry.get("uri", "")) for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, list) else []
    )
    return any(len(uri) > 2_048 or uri in {"https://", "https:///a"} for uri in uris)


def structural(schema: Any) -> Any:
    """The part of a schema that any reader of JSON Schema understands, with patterns as Python reads them."""
    if isinstance(schema, list):
        return [structural(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: structural(value)
        for name, value in schema.items()
        if not name.startswith("x-") and not (name == "format" and isinstance(value, str))  # may be a field's name
    }
    if isinstance(kept.get("pattern"), str):
        kept["pattern"] = kept["pattern"].replace("$", r"\Z")
    return kept
