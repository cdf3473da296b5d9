"""Settings and places named as the person knows them: `--task-timeout`, `pvc://books/a.txt`. Pure.

What the engine says names the fields of a manifest and the paths that it sees, for it does not know who asked. Whoever
shows it to a person passes it through here.
"""

from __future__ import annotations

import re
from typing import Final

#: Option of `mr run` and `mr submit` by the field of the specification that it sets.
OPTIONS: Final[dict[str, str]] = {
    "inputs": "INPUT",
    "args": "--arg",
    "combiner": "--combiner",
    "image": "--image",
    "leaseSeconds": "--lease",
    "maxAttempts": "--max-attempts",
    "output.format": "--output-format",
    "output.nameTemplate": "--name-template",
    "output.overwrite": "--overwrite",
    "output.uri": "-o",
    "reducers": "--reducers",
    "speculation": "--speculation",
    "splitSizeBytes": "--split-size",
    "storage.shuffle": "--shuffle",
    "taskTimeoutSeconds": "--task-timeout",
    "workers.memoryBudgetBytes": "--memory-budget",
    "workers.replicas": "--workers",
}
#: Fields that only a manifest can set.
MANIFEST_ONLY: Final = ("maxLostAttempts", "workers.memoryLimitBytes", "workers.slots", "storage.retainRuns")

#: Words that are also plain English are replaced only where they are written as a field.
_PLAIN_WORDS: Final = frozenset({"inputs", "args", "combiner", "image", "reducers", "speculation"})


def _pattern() -> re.Pattern[str]:
    camel = [name for name in (*OPTIONS, *MANIFEST_ONLY) if name not in _PLAIN_WORDS]
    plain = [f"spec.{name}" for name in _PLAIN_WORDS]
    bare = "|".join(re.escape(name) for name in sorted([*camel, *plain], key=len, reverse=True))
    return re.compile(rf"(?<![\w.])(?:spec\.(?=\w))?({bare})(?![\w(]|\.\w)")


_NAMED: Final = _pattern()
#: Where claims and ConfigMaps are in the pods of a job.
_MOUNTED: Final = re.compile(r"/mr/(claims|configmaps)/(?=[a-z0-9])")


def as_options(text: str) -> str:
    """The text with every field of a specification replaced by the option that sets it, or marked as a manifest's."""

    def named(match: re.Match[str]) -> str:
        field = match[1].removeprefix("spec.")
        return OPTIONS.get(field, f"{field} (in a manifest)")

    return _NAMED.sub(named, text)


def as_uris(text: str) -> str:
    """The text with every path of a pod as the place in the cluster that it is."""
    return _MOUNTED.sub(lambda match: "pvc://" if match[1] == "claims" else "configmap://", text)
