"""Writes docs/reference/crd.md, the page of the `MapReduceJob` resource, from the model, the rules and the reasons.

python tools/draw_crd.py            writes the page
python tools/draw_crd.py --check    exit code 1 when the page is not what the code says
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mapreduce.model import KIND, JobSpec
from mapreduce_operator.crd import resource
from mapreduce_operator.crd.flattening import Schema, described_fields
from mapreduce_operator.crd.rules import FROZEN, ROOT_RULES, RULES, Rule
from mapreduce_operator.reasons import CONDITIONS, REASONS
from tools import draw_defaults
from tools.draw_defaults import cell

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "crd.md"

_HEAD = f"""# The `{KIND}` resource

Written by `tools/draw_crd.py` from the code; `kubectl explain {resource.SINGULAR}.spec` says the same in a shell.

`{resource.GROUP}/{resource.VERSION}`, kind `{KIND}`, short name `{resource.SHORT_NAMES[0]}`; it is namespaced, and all
that a job names (claims, ConfigMaps, Secrets) is in its own namespace. The definition is
[crds/{resource.PLURAL}.{resource.GROUP}.yaml](../../crds/{resource.PLURAL}.{resource.GROUP}.yaml).

```yaml
apiVersion: {resource.GROUP}/{resource.VERSION}
kind: {KIND}
metadata:
  name: words
spec:
  code:
    inline: |
      def mapper(line):
          for word in line.split():
              yield word, 1
  reducer: sum
  inputs:
    - uri: pvc://books/*.txt
  output:
    uri: pvc://results/words
    claimTemplate: {{size: 1Gi}}
```

<!-- test: no: the claim books is the reader's -->
```sh
kubectl apply -f words.yaml
kubectl wait --for=condition=Finished {resource.SHORT_NAMES[0]}/words --timeout=1h   # returns in both outcomes
kubectl get {resource.SHORT_NAMES[0]} -o wide
kubectl scale {resource.SHORT_NAMES[0]}/words --replicas=8                           # at any time, also while it runs
```
"""

_POD_TEMPLATES = """A worker's containers are `executor`, which runs your code, and `agent`; the coordinator's
are `describe`, which imports your code once, and `coordinator`. `agent` and `coordinator` take resources and proxy
variables only. A container of another name is one more, of your own. For example:

```yaml
spec:
  workers:
    podTemplate:
      spec:
        nodeSelector: {disk: fast}
        containers:
          - name: executor
            resources: {requests: {cpu: "1"}, limits: {memory: 4Gi}}
            envFrom: [{secretRef: {name: my-credentials}}]
```
"""


def render() -> str:
    """The whole page."""
    schema = resource.object_schema()["properties"]
    parts = (
        _HEAD,
        "## Specification\n",
        "A field without a default may be left out where it is not required. The server itself only writes the number "
        "of workers;\nall other defaults are applied where the job runs, as by `mr run`.\n",
        _specification(schema["spec"]),
        _POD_TEMPLATES,
        "## Rules\n",
        "Checked by the API server when a job is applied, besides types and bounds:\n",
        "\n".join(f"- {_sentence(rule.message)}" for rule in _rules()) + "\n",
        f"Frozen once the job has started: {_listed(FROZEN)}. A job that "
        "has started\nfollows `workers.replicas`, `suspend`, `activeDeadlineSeconds`, `pendingDeadlineSeconds` and "
        "`ttlSecondsAfterFinished`. Any other edit is\naccepted and does not reach it, nor does one that the server "
        "cannot see, of a ConfigMap with code for example:\ncondition `SpecDrift` shows it.\n",
        "## Status\n",
        _table(("field", "values", "meaning"), _status_rows(schema["status"])),
        "## Conditions\n",
        "`Finished` is True in both outcomes, so `kubectl wait --for=condition=Finished` always returns.\n",
        _table(("condition", "when it is True"), ((f"`{name}`", text) for name, text in CONDITIONS.items())),
        "## Reasons\n",
        "The `reason` of a condition, for programs; more may come, none is renamed.\n",
        _table(
            ("reason", "what is the case", "what to do"),
            ((f"`{name}`", cell(reason.sentence), cell(reason.fix)) for name, reason in REASONS.items()),
        ),
    )
    return "\n".join(parts)


def _specification(schema: Schema) -> str:
    defaults = {path: draw_defaults.default_of(field) for path, field, _ in draw_defaults.described_fields(JobSpec)}
    required = set(_required(schema))
    rows = (
        (
            f"`{path}`",
            _values(below),
            "required" if path in required else defaults[path],
            cell(below["description"]),
        )
        for path, below in described_fields(schema)
    )
    return _table(("field", "values", "default", "meaning"), rows)


def _status_rows(schema: Schema) -> Iterable[tuple[str, ...]]:
    return ((f"`{path}`", _values(below), cell(below["description"])) for path, below in described_fields(schema))


def _required(schema: Schema, prefix: str = "") -> Iterable[str]:
    """Paths of fields that must be there where their parent is."""
    yield from (prefix + name for name in schema.get("required", ()))
    for name, below in schema.get("properties", {}).items():
        yield from _required(below, f"{prefix}{name}.")
        yield from _required(below.get("items", {}), f"{prefix}{name}[].")


def _values(schema: Schema) -> str:
    """Type and bounds of a value, as short as can be said."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    match schema["type"]:
        case "integer":
            return f"{_number(schema['minimum'])} to {_number(schema['maximum'])}"
        case "string" if schema.get("format") == "date-time":
            return "time in UTC"
        case "string":
            return f"text, up to {_number(schema['maxLength'])} characters"
        case "array":
            return f"list of up to {_number(schema['maxItems'])}"
        case "boolean":
            return "`true`, `false`"
        case _ if "additionalProperties" in schema:
            return f"map of up to {_number(schema['maxProperties'])}"
        case _:
            return "object"


def _number(value: int) -> str:
    power = abs(value).bit_length() - 1
    is_binary = power >= 20 and abs(value) in {1 << power, (1 << power + 1) - 1}
    sign = "-" if value < 0 else ""
    if is_binary:
        return f"{sign}2^{power + (abs(value) != 1 << power)}"
    return f"{value:_}".replace("_", " ")


def _rules() -> Iterable[Rule]:
    """All rules but the freeze, which is told in one sentence."""
    yield from (rule for rule in ROOT_RULES if not rule.field.startswith(".spec."))
    yield from (rule for rules in RULES.values() for rule in rules)


def _sentence(message: str) -> str:
    return cell(message) + "."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit(f"{PAGE.name} differs from the code: run tools/draw_crd.py")


if __name__ == "__main__":
    main()
