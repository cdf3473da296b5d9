"""Whether JSON has the shape that a JSON Schema says: the part of the standard that the OpenAPI document uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_KNOWN = {
    "$ref", "anyOf", "type", "enum", "const", "properties", "required", "items", "prefixItems", "minItems", "maxItems",
    "additionalProperties", "pattern", "minLength", "maxLength", "minimum", "maximum", "maxProperties", "default",
    "description", "title", "discriminator", "contentEncoding",
}  # fmt: skip


def problems(value: Any, schema: Mapping[str, Any], components: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """What is wrong with `value`, each problem with its place."""
    assert schema.keys() <= _KNOWN, f"{place}: the schema says what is not looked at: {schema.keys() - _KNOWN}"
    if reference := schema.get("$ref"):
        yield from problems(value, components[reference.rpartition("/")[2]], components, place)
        return
    if choices := schema.get("anyOf"):
        if not any(not list(problems(value, choice, components, place)) for choice in choices):
            yield f"{place}: fits no choice"
        return
    if (kind := schema.get("type")) and not _has_type(value, kind):
        yield f"{place}: is no {kind}"
        return
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{place}: is another value"
    match value:
        case dict():
            yield from _object_problems(value, schema, components, place)
        case list():
            yield from _array_problems(value, schema, components, place)
        case str():
            is_long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
            if not is_long_enough or not re.search(schema.get("pattern", ""), value):
                yield f"{place}: does not fit"
        case int() | float():
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{place}: is out of bounds"
        case _:
            pass


def _has_type(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (not isinstance(value, bool) or kind == "boolean")


def _object_problems(
    value: dict[str, Any], schema: Mapping[str, Any], components: Mapping[str, Any], place: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    yield from (f"{place}.{name}: is missing" for name in schema.get("required", ()) if name not in value)
    others = schema.get("additionalProperties", not properties)
    for name, item in value.items():
        if name in properties:
            yield from problems(item, properties[name], components, f"{place}.{name}")
        elif isinstance(others, dict):
            yield from problems(item, others, components, f"{place}.{name}")
        elif not others:
            yield f"{place}.{name}: is not described"


def _array_problems(
    value: list[Any], schema: Mapping[str, Any], components: Mapping[str, Any], place: str
) -> Iterator[str]:
    first = schema.get("prefixItems", [])
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{place}: has {len(value)} items"
    for index, item in enumerate(value):
        described = first[index] if index < len(first) else schema.get("items")
        if isinstance(described, dict):
            yield from problems(item, described, components, f"{place}[{index}]")
