"""What annotations already say: a mapper or reducer that promises keys or values that no run or output can hold.

Annotations are never needed; one that cannot be evaluated, or says nothing precise, is left alone.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from mapreduce.userjob import UserJob
from mapreduce_cli.checking.findings import Finding

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_ITERABLES: Final = frozenset(
    {collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator, list, collections.abc.Sequence}
)
_KEYS: Final = "Keys are None, bool, int, float, str, bytes and tuples of these."
_VALUES: Final = (
    "Values are None, bool, int, float, str, bytes, tuples, lists, dicts, and dataclasses or msgspec Structs defined "
    "in the job's own code."
)


def unstorable_promises(job: UserJob) -> Iterator[Finding]:
    """A finding for each place in the functions' annotations where a type stands that cannot be stored."""
    functions = (("mapper", job.mapper), ("combiner", job.combiner), ("reducer", job.reducer))
    for role, function in functions:
        if function is None or (role == "mapper" and job.named_reducer == "count"):
            continue
        pair = _promised_pair(function)
        if pair is None:
            continue
        for kind, annotation, find in (("key", pair[0], _bad_in_key), ("value", pair[1], _bad_in_value)):
            for place, culprit in find(annotation, kind):
                yield Finding(
                    level="problem",
                    what=f"the {role} is annotated to yield {_name(culprit)} as {place}, which cannot be stored",
                    fix=_KEYS if kind == "key" else _fix(culprit),
                )


def _promised_pair(function: Callable[..., Any]) -> tuple[Any, Any] | None:
    try:
        result = typing.get_type_hints(function).get("return")
    except Exception:  # whatever the user's annotations do when they are evaluated
        return None
    if typing.get_origin(result) not in _ITERABLES:
        return None
    arguments = typing.get_args(result)
    pair = arguments[0] if arguments else None
    members = typing.get_args(pair)
    if typing.get_origin(pair) is not tuple or len(members) != 2 or members[1] is Ellipsis:
        return None
    return members[0], members[1]


def _bad_in_key(annotation: Any, place: str) -> Iterator[tuple[str, Any]]:
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_union(origin):
        for member in members:
            yield from _bad_in_key(member, place)
    elif origin is tuple:
        for index, member in enumerate(member for member in members if member is not Ellipsis):
            yield from _bad_in_key(member, f"{place}[{index}]")
    elif _is_certain(annotation, origin) and annotation not in _SCALARS and annotation is not tuple:
        yield place, annotation


def _bad_in_value(annotation: Any, place: str, seen: frozenset[Any] = frozenset()) -> Iterator[tuple[str, Any]]:
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_union(origin):
        for member in members:
            yield from _bad_in_value(member, place, seen)
    elif origin in {tuple, list, dict}:
        for index, member in enumerate(member for member in members if member is not Ellipsis):
            yield from _bad_in_value(member, f"{place}[{index}]" if origin is tuple else f"{place}[...]", seen)
    elif isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or issubclass(annotation, msgspec.Struct)
    ):
        if annotation not in seen:
            for name, field in _fields_of(annotation):
                yield from _bad_in_value(field, f"{place}.{name}", seen | {annotation})
    elif _is_certain(annotation, origin) and annotation not in _SCALARS | {tuple, list, dict}:
        yield place, annotation


def _fields_of(kind: type) -> Iterator[tuple[str, Any]]:
    try:
        hints = typing.get_type_hints(kind)
    except Exception:  # a name that only a type checker knows
        return
    names = (
        [field.name for field in dataclasses.fields(kind)]
        if dataclasses.is_dataclass(kind)
        else list(getattr(kind, "__struct_fields__", ()))
    )
    yield from ((name, hints[name]) for name in names if name in hints)


def _is_union(origin: Any) -> bool:
    return origin is typing.Union or origin is types.UnionType


def _is_certain(annotation: Any, origin: Any) -> bool:
    """A class that says what objects will be; abstract ones (Sequence, Any, a protocol) leave it open."""
    kind = origin if isinstance(origin, type) else annotation
    return isinstance(kind, type) and kind not in {object, Any} and not getattr(kind, "__abstractmethods__", None)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _fix(culprit: Any) -> str:
    kind = typing.get_origin(culprit) or culprit
    return "Yield sorted(...) of it." if kind in {set, frozenset} else _VALUES
