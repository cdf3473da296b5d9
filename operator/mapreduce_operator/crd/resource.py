"""The CustomResourceDefinition as one object: names, schema, subresources, columns; and its text. Pure."""

from __future__ import annotations

from typing import Any, Final

import yaml

from mapreduce.model import KIND, Input, JobSpec, Workers
from mapreduce_operator.crd.flattening import Extras, Schema, schema_of, validation
from mapreduce_operator.crd.rules import ROOT_RULES
from mapreduce_operator.statusmodel import JobStatus

GROUP: Final = "mapreduce.dev"
VERSION: Final = "v1alpha1"
PLURAL: Final = "mapreducejobs"
SINGULAR: Final = "mapreducejob"
SHORT_NAMES: Final = ("mrj",)
CATEGORIES: Final = ("mapreduce", "all")

_EXTRAS: Final[Extras] = {
    # The only values that the API server writes by itself: without a number of workers, `kubectl scale` would have
    # nothing to read. All other defaults are the engine's, which has to know what was given and what was not.
    (JobSpec, "workers"): {"default": {}},
    (Workers, "replicas"): {"default": 2},
    # Tighter than on a laptop: the API server multiplies both for its estimate of what the rules cost.
    (JobSpec, "inputs"): {"maxItems": 1_000},
    (Input, "uri"): {"maxLength": 2_048},
}

_COLUMNS: Final = (
    # name, type, path, only with -o wide, description
    ("Status", "string", ".status.state", False, "The state in one word, for people."),
    ("Maps", "string", ".status.maps.progress", False, "Map tasks: committed/total."),
    ("Reduces", "string", ".status.reduces.progress", False, "Reduce tasks: committed/total."),
    ("Workers", "integer", ".status.workers.ready", False, "Workers that are ready."),
    ("Failed", "integer", ".status.attemptsFailed", False, "Attempts that failed."),
    ("Age", "date", ".metadata.creationTimestamp", False, "Since when the job exists."),
    ("Shuffle", "string", ".status.shuffle", True, "How intermediate runs travel."),
    ("Output", "string", ".spec.output.uri", True, "The output folder."),
    ("Message", "string", ".status.message", True, "What the job does or waits for."),
)
_SELECTABLE: Final = (".spec.suspend", ".status.state")
_HEADER: Final = "# Written by `python -m mapreduce_operator.crd` from the model; edit the model, not this file.\n"


def object_schema() -> Schema:
    """The schema of a whole `MapReduceJob`."""
    return {
        "description": "A MapReduce job: Python functions over files, with as many workers as asked for. Once it has "
        "started, what decides its result cannot be edited; suspend, the number of workers and deadlines can.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {KIND}."},
            "metadata": {"type": "object"},
            "spec": schema_of(JobSpec, _EXTRAS),
            "status": schema_of(JobStatus),
        },
        "x-kubernetes-validations": [validation(rule) for rule in ROOT_RULES],
    }


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": list(SHORT_NAMES),
                "categories": list(CATEGORIES),
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "selectableFields": [{"jsonPath": path} for path in _SELECTABLE],
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.workers.replicas",
                            "statusReplicasPath": ".status.workers.ready",
                            "labelSelectorPath": ".status.workers.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def render() -> str:
    """The definition as a YAML document."""
    return _HEADER + yaml.safe_dump(definition(), sort_keys=False, allow_unicode=True, width=110)


def _column(name: str, kind: str, path: str, is_wide: bool, description: str) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": 1} if is_wide else column
