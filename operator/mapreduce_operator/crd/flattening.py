"""From msgspec types to a structural OpenAPI v3 schema, as a CustomResourceDefinition takes it. Pure.

Structural means: no `$ref`, one type for each value, unions only with None, which is a field that may be absent. Every
object's fields and every value carry a description, so that `kubectl explain` is the manual. A type that has no such
schema is refused with a TypeError: it has to be changed, not approximated.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Meta

from mapreduce_operator.crd.rules import RULES, Rule

Schema = dict[str, Any]
Extras = Mapping[tuple[type[msgspec.Struct], str], Schema]

_INT32: Final = (1 << 31) - 1
_JSON_TYPES: Final[Mapping[object, str]] = {str: "string", int: "integer", bool: "boolean"}
#: Whose entries are told apart by one of their fields, so that several writers can share the list.
_LIST_KEYS: Final[Mapping[str, str]] = {"Condition": "type"}


def schema_of(kind: type[msgspec.Struct], extras: Extras | None = None) -> Schema:
    """The schema of a struct.

    `extras` are what the schema says of (struct, field) beyond the types: a default, a tighter bound.
    """
    return _schema(kind, "", extras or {})


def described_fields(schema: Schema, prefix: str = "") -> list[tuple[str, Schema]]:
    """(dotted path, schema) of everything below an object's schema, in order; `inputs[]` are a list's entries."""
    found: list[tuple[str, Schema]] = []
    for name, below in schema.get("properties", {}).items():
        found.append((prefix + name, below))
        entries = below.get("items", {})
        found += described_fields(entries, f"{prefix}{name}[].")
        found += described_fields(below, f"{prefix}{name}.")
    return found


def _schema(kind: Any, description: str, extras: Extras) -> Schema:
    plain, metas = _peeled(kind)
    description = next((meta.description for meta in reversed(metas) if meta.description), description)
    schema = _plain_schema(plain, extras)
    own = schema.pop("description", "")
    schema = {"description": description or own, **schema, **_bounds(schema["type"], metas)}
    if schema["type"] == "integer":
        schema["format"] = "int32" if schema.get("maximum", _INT32 + 1) <= _INT32 else "int64"
    if not schema["description"]:
        del schema["description"]  # an entry of a list of plain values
    return schema


def _plain_schema(kind: Any, extras: Extras) -> Schema:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _object_schema(kind, extras)
    if kind in _JSON_TYPES:
        return {"type": _JSON_TYPES[kind]}
    if origin is Literal:
        return {"type": "string", "enum": list(parts)}
    if origin is tuple and len(parts) == 2 and parts[1] is ...:
        entry = _peeled(parts[0])[0]
        key = _LIST_KEYS.get(getattr(entry, "__name__", ""))
        listed: Schema = {"type": "array", "items": _schema(parts[0], "", extras)}
        if key is None:
            return {**listed, "x-kubernetes-list-type": "atomic"}
        return {**listed, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    if origin is dict and parts[1] is Any:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1], "", extras), **_key_rule(parts[0])}
    raise TypeError(f"{kind!r} has no structural schema")


def _object_schema(kind: type[msgspec.Struct], extras: Extras) -> Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    properties = {}
    for field in fields:
        properties[field.encode_name] = _schema(hints[field.name], "", extras)
        properties[field.encode_name] |= extras.get((kind, field.encode_name), {})
    schema: Schema = {"description": " ".join((inspect.getdoc(kind) or "").split()), "type": "object"}
    if required := [field.encode_name for field in fields if field.required]:
        schema["required"] = required
    schema["properties"] = properties
    if rules := RULES.get(kind):
        schema["x-kubernetes-validations"] = [validation(rule) for rule in rules]
    return schema


def validation(rule: Rule) -> Schema:
    """A rule as it stands in a schema."""
    shown = {"rule": rule.rule, "message": rule.message, "reason": rule.reason}
    if rule.shows:
        shown["messageExpression"] = rule.shows
    if rule.field:
        shown["fieldPath"] = rule.field
    return shown


def _peeled(kind: Any) -> tuple[Any, list[Meta]]:
    """A type without annotations and None, and its annotations, innermost first."""
    if typing.get_origin(kind) is typing.Annotated:
        below, *metas = typing.get_args(kind)
        plain, inner = _peeled(below)
        return plain, [*inner, *metas]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        if len(parts) != 1:
            raise TypeError(f"{kind!r} has no structural schema: a value has one type")
        return _peeled(parts[0])
    return kind, []


def _bounds(kind: str, metas: list[Meta]) -> Schema:
    """Bounds in the words of the kind of value they are for."""
    size = {"string": "Length", "array": "Items", "object": "Properties"}.get(kind, "")
    found: Schema = {}
    for meta in metas:
        for value, name in (
            (meta.ge, "minimum"),
            (meta.le, "maximum"),
            (meta.min_length, f"min{size}"),
            (meta.max_length, f"max{size}"),
            (meta.pattern and meta.pattern.replace(r"\Z", "$"), "pattern"),
        ):
            if value is not None:
                found[name] = value
        found |= meta.extra_json_schema or {}
    return found


def _key_rule(kind: Any) -> Schema:
    """Bounds of a map's keys, which a schema can only say by a rule."""
    bounds = _bounds("string", _peeled(kind)[1])
    if "maxLength" not in bounds:
        return {}
    longest = bounds["maxLength"]
    rule = Rule(f"self.all(name, size(name) <= {longest})", f"names here are at most {longest} characters long")
    return {"x-kubernetes-validations": [validation(rule)]}
