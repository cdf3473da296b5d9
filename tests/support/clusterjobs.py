"""Jobs for a real cluster, what must come out of them (the oracle), and what must be left of them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from mapreduce.bundle import load_job
from mapreduce.describe import describe_here
from mapreduce.jobspec import Overrides, build_spec
from mapreduce.loading import CodeSource
from mapreduce.model import Input, Manifest
from mapreduce.sequential import run_sequential
from mapreduce.userjob import Names
from tests.support.kubecalls import WITHIN_S, Namespace, Object, condition, holds

CHILDREN: Final = "pods,statefulsets,jobs.batch,services,secrets,configmaps,persistentvolumeclaims,networkpolicies"
OWNER_RECORD: Final = "_mapreduce/owner.json"
"""Which job a folder is the output of; it stays beside the result."""
WORDCOUNT: Final = """\
def mapper(line):
    for word in line.split():
        yield word, 1


def reducer(word, counts):
    yield word, sum(counts)


combiner = reducer
"""
SLOW_WORDCOUNT: Final = "import time\n\n\n" + WORDCOUNT.replace(
    "    for word", "    time.sleep(float(ctx.args['seconds_per_line']))\n    for word"
).replace("mapper(line)", "mapper(line, ctx)")
"""Every line takes a while, so that there is time to break something amid a task."""


def job(
    name: str,
    *,
    code: str = WORDCOUNT,
    inputs: Iterable[Object] = (),
    texts: Iterable[str] = (),
    output: str = "pvc://output/counts",
    **spec: Any,
) -> Object:
    """A job whose inputs are given by URI or are `texts` given inline; other fields of the spec by their own names."""
    given: Object = {
        "code": {"inline": code},
        "inputs": [*inputs, *({"inline": text} for text in texts)],
        "output": {"uri": output, "claimTemplate": {"size": "64Mi"}},
        "reducer": "reducer",
        "reducers": 2,
        "workers": {"replicas": 2},
    }
    return {
        "apiVersion": "mapreduce.dev/v1alpha1",
        "kind": "MapReduceJob",
        "metadata": {"name": name},
        "spec": {**given, **spec},
    }


def slow_job(name: str, *, maps: int = 12, seconds_per_map: float = 2.0, **spec: Any) -> Object:
    """A job of about so many maps that take so long each: one line in each split, words enough for a few reduces."""
    lines = text(maps, words=40)
    longest = max(map(len, lines.splitlines())) + 1
    given: Object = {
        "texts": [lines],
        "splitSizeBytes": longest,
        "args": {"seconds_per_line": str(seconds_per_map)},
        "leaseSeconds": 10,
    }
    return job(name, code=SLOW_WORDCOUNT, **{**given, **spec})


def text(lines: int, *, seed: int = 1, words: int = 200) -> str:
    """Lines of words with a skew as in languages; the same for the same numbers."""
    chosen = random.Random(seed)
    names = [f"word-{number}" for number in range(words)]
    weights = [1 / (number + 1) for number in range(words)]
    return "".join(" ".join(chosen.choices(names, weights, k=8)) + "\n" for _ in range(lines))


def oracle(manifest: Object, folder: Path, files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The parts that this job must write, made by the sequential oracle in `folder`.

    Inline inputs are known; `files` has the content of all others, in the order of the inputs.
    """
    spec = msgspec.convert(manifest, Manifest).spec
    spec = msgspec.structs.replace(spec, args={**spec.args, "seconds_per_line": "0"})
    source = folder / "job.py"
    source.write_text(spec.code.inline or "", encoding="utf-8")
    given = {f"inline-{index}": one.inline.encode() for index, one in enumerate(spec.inputs) if one.inline is not None}
    inputs = []
    for name, content in {**(files or {}), **given}.items():
        path = folder / "inputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        inputs.append(Input(uri=str(path)))
    here = msgspec.structs.replace(
        spec,
        inputs=tuple(inputs),
        output=msgspec.structs.replace(spec.output, uri=str(folder / "out"), claim_template=None),
    )
    code = CodeSource(source)
    built = build_spec(describe_here(code, Names()), Overrides(), source=source, manifest=here, base=folder)
    run_sequential(built, load_job(code, built, name="oracle"), folder / "out")
    return parts({path.name: path.read_bytes() for path in (folder / "out").iterdir()})


def parts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The result among the files of an output folder; fails where the job did not publish it or left more behind."""
    assert "_SUCCESS" in files, f"no _SUCCESS among {sorted(files)}"
    found = {name: content for name, content in files.items() if name.startswith("part-")}
    strangers = sorted(files.keys() - found.keys() - {"_SUCCESS", OWNER_RECORD})
    assert strangers == [], strangers
    return found


def await_end(namespace: Namespace, name: str, *, within_s: float = WITHIN_S) -> Object:
    """The job when it is finished, whichever way."""
    return namespace.until("mapreducejob", name, "is finished", holds("Finished"), within_s=within_s)


def await_complete(namespace: Namespace, name: str, *, within_s: float = WITHIN_S) -> Object:
    """The job when it is complete; fails with its reason when it failed."""
    ended = await_end(namespace, name, within_s=within_s)
    assert holds("Complete")(ended), condition(ended, "Failed")
    return ended


def await_progress(namespace: Namespace, name: str, *, maps: int = 0, reduces: int = 0) -> Object:
    """The job when at least so many tasks are committed."""

    def is_so(found: Object) -> bool:
        status = found.get("status", {})
        committed = [status.get(kind, {}).get("committed", 0) for kind in ("maps", "reduces")]
        return bool(committed[0] >= maps and committed[1] >= reduces)

    return namespace.until("mapreducejob", name, f"has {maps} maps and {reduces} reduces committed", is_so)


def labels_of(found: Object) -> str:
    """The selector of everything that belongs to a job."""
    return f"mapreduce.dev/job-uid={found['metadata']['uid']}"


def pods_of(namespace: Namespace, found: Object, component: str) -> list[str]:
    """Names of the job's running pods: of `coordinator` or `worker`."""
    listed = namespace.listed("pods", f"{labels_of(found)},app.kubernetes.io/component={component}")
    running = [pod for pod in listed if pod["status"].get("phase") == "Running"]
    return [pod["metadata"]["name"] for pod in running if "deletionTimestamp" not in pod["metadata"]]


def await_pods(namespace: Namespace, found: Object, component: str, count: int = 1) -> list[str]:
    """The same as soon as there are so many."""
    deadline = time.monotonic() + WITHIN_S
    while len(names := pods_of(namespace, found, component)) < count:
        assert time.monotonic() < deadline, f"only {names} of {count} pods of the {component} run"
        time.sleep(0.3)
    return names


def delete_and_check(namespace: Namespace, found: Object) -> None:
    """Deletes a job; nothing of it stays, save the claim of its output."""
    namespace.delete("mapreducejob", found["metadata"]["name"])
    namespace.until_gone(CHILDREN, labels_of(found))
    left = [
        f"{one['kind']}/{one['metadata']['name']}" for one in namespace.listed(CHILDREN) if _is_owned_by(one, found)
    ]
    assert left == []


def _is_owned_by(one: Object, owner: Object) -> bool:
    references: list[Object] = one["metadata"].get("ownerReferences", [])
    return any(reference["uid"] == owner["metadata"]["uid"] for reference in references)
