"""Whether the cluster's definition of `MapReduceJob` has all fields that this operator reads and writes. Pure.

Helm leaves a definition alone that is there already, so a newer operator may meet an older one: the API server then
drops what it does not know, and a field that is missing is a default, never zero. The schema is read as the API server
publishes it to everyone, which takes no right on definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mapreduce_operator.naming import GROUP, KIND, PLURAL, VERSION

Schema = dict[str, Any]

NAME: Final = f"{PLURAL}.{GROUP}"
OPENAPI_PATH: Final = f"/openapi/v3/apis/{GROUP}/{VERSION}"


def published(document: Schema) -> Schema | None:
    """The schema of a job in the API server's OpenAPI document; None where it is not in there (yet)."""
    for schema in ((document.get("components") or {}).get("schemas") or {}).values():
        for kind in schema.get("x-kubernetes-group-version-kind") or ():
            if (kind.get("group"), kind.get("version"), kind.get("kind")) == (GROUP, VERSION, KIND):
                return dict(schema)
    return None


def missing_fields(there: Schema, wanted: Schema) -> list[str]:
    """Paths of fields that `wanted` has and `there` has not, outermost only."""
    return list(_missing(there, wanted, ""))


def _missing(there: Schema, wanted: Schema, path: str) -> Iterator[str]:
    if wanted.get("type") == "array":
        yield from _missing(there.get("items") or {}, wanted.get("items") or {}, f"{path}[]")
        return
    known = there.get("properties") or {}
    for name, schema in (wanted.get("properties") or {}).items():
        place = f"{path}.{name}" if path else name
        if name not in known:
            yield place
        elif path or name in {"spec", "status"}:
            yield from _missing(known[name], schema, place)
