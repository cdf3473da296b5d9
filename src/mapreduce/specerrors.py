"""Plain words for what is wrong with a specification: field path, problem, what to write instead. Pure.

Used for manifests (unknown fields, wrong types) and for specs built in Python (bounds). What is allowed is `model`'s
business.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from mapreduce.errors import InvalidJobSpec
from mapreduce.model import JobSpec
from mapreduce.typed import convert

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_EXPECTED: Final = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
_BOUND: Final = re.compile(
    r"^Expected `(?P<kind>[^`]+)`(?P<length> of length)? (?P<sign><=|>=|<|>) (?P<bound>[0-9.e+-]+)$"
)

_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "nothing",
    "object": "a mapping of fields",
    "array": "a list",
}
_SIGNS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def check_bounds(spec: JobSpec) -> None:
    """Check a spec that was built in Python as if it had been read: types, bounds, choices."""
    raw = msgspec.to_builtins(spec)
    try:
        convert(raw, JobSpec)
    except msgspec.ValidationError as error:
        raise in_words(error, raw, JobSpec, "spec") from None


def in_words(error: msgspec.ValidationError, raw: object, kind: Any, root: str = "") -> InvalidJobSpec:
    """Translate a decoder's error about `raw`, which should have been a `kind`; `root` is the name of its place."""
    match = _AT.match(str(error))
    assert match is not None, "the pattern accepts any text"
    steps, value, wanted = _follow(match["path"] or "", raw, kind, is_key=match["key"] is not None)
    place = _join(root, steps) or "the document"
    what = match["what"]
    if expected := _EXPECTED.match(what):
        fix = _type_fix(expected["wanted"], value)
        return InvalidJobSpec(place, f"expected {_types(expected['wanted'])}, got {describe_value(value)}.", fix)
    if bound := _BOUND.match(what):
        subject = "must not be empty" if bound["length"] and bound["sign"] == ">=" and bound["bound"] == "1" else None
        size = f"{_SIGNS[bound['sign']]} {int(float(bound['bound'])):_}".replace("_", " ")
        unit = (
            {"str": " characters long", "array": " entries long", "object": " entries long"}[bound["kind"]]
            if bound["length"]
            else ""
        )
        fix = "Leave it out, or name one." if subject else ""  # a bound says itself what to give
        return InvalidJobSpec(place, f"{subject or f'must be {size}{unit}'}, got {describe_value(value)}.", fix)
    if what.startswith("Invalid enum value"):
        choices = [str(choice) for choice in _choices(wanted)]
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
        fix = f"Did you mean {near[0]}?" if near else ""
        return InvalidJobSpec(place, f"{value!r} is none of {', '.join(choices)}.", fix)
    if what.startswith("Object missing required field"):
        field = what.split("`")[1]
        return InvalidJobSpec(_join(root, [*steps, field]), "is missing.", f"Add `{field}:`.")
    return InvalidJobSpec(place, f"{what[:1].lower()}{what[1:]}.")


def unknown_fields(raw: object, kind: Any, root: str = "") -> Iterator[str]:
    """One sentence for each field that `kind` does not have, with the nearest right name."""
    kind = _plain(kind)
    origin = typing.get_origin(kind)
    if isinstance(raw, Mapping) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for name, value in raw.items():
            place = _join(root, [str(name)])
            if name in known:
                yield from unknown_fields(value, known[name], place)
            elif kind.__struct_config__.forbid_unknown_fields:
                yield f"{place}: there is no such field. {_nearest(str(name), list(known))}"
    elif isinstance(raw, list) and origin is tuple:
        for index, value in enumerate(raw):
            yield from unknown_fields(value, typing.get_args(kind)[0], _join(root, [index]))


def describe_value(value: object) -> str:
    """A value of a YAML document as a person would name it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:60]!r}"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def _nearest(name: str, known: list[str]) -> str:
    by_letters = {re.sub(r"[^a-z]", "", field.lower()): field for field in known}
    near = difflib.get_close_matches(re.sub(r"[^a-z]", "", name.lower()), list(by_letters), n=1, cutoff=0.6)
    return f"Did you mean {by_letters[near[0]]}?" if near else f"Fields here: {', '.join(known)}."


def _types(wanted: str) -> str:
    return " or ".join(_WORDS.get(name.strip(), name.strip()) for name in wanted.split("|") if name.strip() != "null")


def _type_fix(wanted: str, value: object) -> str:
    names = [name.strip() for name in wanted.split("|")]
    if "str" in names and isinstance(value, int | float):
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        return f'Write it in quotes: "{shown}".'
    if "int" in names and isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
        return f"Leave out the quotes: {value}."
    if "array" in names:
        return "Begin each entry with a dash."
    return ""


def _follow(path: str, raw: object, kind: Any, *, is_key: bool) -> tuple[list[str | int], Any, Any]:
    """The steps of a decoder's path such as `.inputs[0].uri` or `.args[...]`, the value and the type wanted there."""
    steps: list[str | int] = []
    value, wanted = raw, _plain(kind)
    for name, index in re.findall(r"\.([^.\[]+)|\[([0-9]+|\.\.\.)\]", path):
        if name:
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
            wanted = _plain(fields[name])
            value = value.get(name) if isinstance(value, Mapping) else None
            steps.append(name)
        elif index != "..." and isinstance(value, list | tuple):
            wanted = _plain(typing.get_args(wanted)[0])
            value = value[int(index)]
            steps.append(int(index))
        elif isinstance(value, Mapping):
            wanted = _plain(typing.get_args(wanted)[1])
            culprit = next(key for key in value if not _fits(value[key], wanted))
            value = value[culprit]
            steps.append(str(culprit))
    if is_key and isinstance(value, Mapping):
        wanted = _plain(typing.get_args(wanted)[0])
        value = next(key for key in value if not _fits(key, wanted))
        steps.append(str(value))
    return steps, value, wanted


def _fits(value: object, kind: Any) -> bool:
    try:
        convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _plain(kind: Any) -> Any:
    """A type without its annotations, and without None."""
    if typing.get_origin(kind) is typing.Annotated:
        return _plain(typing.get_args(kind)[0])
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return _plain(next(part for part in typing.get_args(kind) if part is not type(None)))
    return kind


def _choices(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(_plain(kind))


def _join(root: str, steps: list[str | int]) -> str:
    place = root
    for step in steps:
        place = f"{place}[{step}]" if isinstance(step, int) else f"{place}.{step}" if place else step
    return place
