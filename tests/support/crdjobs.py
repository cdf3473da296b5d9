"""The resource's definition, and jobs for tests of it: a good one, and ways to change a field."""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.support.tree import ROOT

DEFINITION: Final = ROOT / "crds" / "mapreducejobs.mapreduce.dev.yaml"
CODE: Final = "def mapper(line):\n    yield line, 1\n"
GONE: Final = object()
"""As a value: the field is left out."""


def job(*changes: tuple[str, object], name: str = "job") -> dict[str, Any]:
    """A small job that is accepted, with some fields changed: ("spec.inputs.0.uri", "pvc://books/")."""
    made: dict[str, Any] = {
        "apiVersion": "mapreduce.dev/v1alpha1",
        "kind": "MapReduceJob",
        "metadata": {"name": name},
        "spec": {
            "code": {"inline": CODE},
            "inputs": [{"uri": "pvc://books/*.txt"}],
            "output": {"uri": "pvc://results/words"},
        },
    }
    for path, value in changes:
        put(made, path, value)
    return made


def put(content: Any, path: str, value: object) -> None:
    """Sets, adds or (with GONE) removes what lies at a path; numbers are positions in lists."""
    *steps, last = path.split(".")
    place = content
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if isinstance(place, list):
        place[int(last) : int(last) + 1] = [copy.deepcopy(value)]
    elif value is GONE:
        place.pop(last, None)
    else:
        place[last] = copy.deepcopy(value)
