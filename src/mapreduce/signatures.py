"""How a user's function is called: its shape by `inspect.signature`, or a refusal that says how to write it.

Which function it is, is `userjob`'s business.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Literal

from mapreduce.api import Context, DeclaredMapper
from mapreduce.errors import InvalidUserCode

FORMS: Final = {
    "mapper": "def mapper(value) or def mapper(key, value), with a last parameter ctx if it is wanted",
    "split mapper": "def mapper(records), with a last parameter ctx if it is wanted",
    "reducer": "def reducer(key, values), with a last parameter ctx if it is wanted",
    "combiner": "def combiner(key, values), with a last parameter ctx if it is wanted",
}


_NAMES_OF_A_CONTEXT: Final = frozenset({"c", "context", "counter", "counters", "_ctx"})


def shape_of_mapper(declared: DeclaredMapper) -> tuple[Callable[..., Any], Literal[1, 2], bool]:
    """The mapper, its arity besides ctx, and whether it wants ctx. Raises `InvalidUserCode`."""
    if declared.per == "split":
        function, wants_ctx = shape_of("split mapper", declared.function, 1)
        return function, 2 if declared.with_keys else 1, wants_ctx
    required, ctx = _parameters("mapper", declared.function)
    if required == 2:
        if ctx is None:
            _refuse_a_value_called_as_the_context_is(declared.function)
        function, wants_ctx = shape_of("mapper", declared.function, 2)
        return function, 2, wants_ctx
    function, wants_ctx = shape_of("mapper", declared.function, 1)
    return function, 1, wants_ctx


def shape_of(role: str, function: Callable[..., Any], arity: int) -> tuple[Callable[..., Any], bool]:
    """Check that `function` takes `arity` positional arguments (besides ctx); return it, to be called with ctx=."""
    required, ctx = _parameters(role, function)
    if required != arity:
        shown = f"{name_of(function, role)}{inspect.signature(function)}"
        raise InvalidUserCode(f"{shown} cannot be the {role}: it needs {_counted(required)}. Write {FORMS[role]}.")
    if ctx is None or ctx == "ctx":
        return function, ctx is not None

    def with_ctx(*values: Any, ctx: Context) -> Any:
        return function(*values, **{name: ctx})

    name = ctx
    return with_ctx, True


def _refuse_a_value_called_as_the_context_is(mapper: Callable[..., Any]) -> None:
    signature = inspect.signature(mapper)
    name = list(signature.parameters)[1]
    if name in _NAMES_OF_A_CONTEXT:
        raise InvalidUserCode(
            f"{name_of(mapper, 'mapper')}{signature}: with two parameters a mapper gets (key, value). If {name} is the "
            f"context, call it ctx, or annotate it with Context; if it is the value, give it another name."
        )


def _parameters(role: str, function: Callable[..., Any]) -> tuple[int, str | None]:
    """The number of positional arguments that a function needs, and the name of its parameter for the context."""
    shown = name_of(function, role)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidUserCode(f"{shown} is async, which a {role} cannot be. Write it with def.")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        raise InvalidUserCode(f"{shown} does not tell its parameters. Wrap it in a function of your own.") from None
    required, optional, ctx = 0, 0, None
    for parameter in parameters:
        if _is_ctx(parameter, function):
            ctx = parameter.name
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise InvalidUserCode(f"{shown}: ctx is passed by name. Write it behind the slash.")
        elif parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                raise InvalidUserCode(
                    f"{shown} needs {parameter.name} by keyword, which nobody passes. Give it a default."
                )
        elif ctx is not None and parameter.default is parameter.empty:
            raise InvalidUserCode(f"{shown} has {ctx} before {parameter.name}. Write {ctx} as the last parameter.")
        elif parameter.default is parameter.empty:
            required += 1
        else:
            optional += 1
    return required, ctx


def _is_ctx(parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
        return False
    annotation = parameter.annotation
    if isinstance(annotation, str):
        return parameter.name == "ctx" or _names_context(annotation.strip("'\""), function)
    return parameter.name == "ctx" or annotation is Context


def _names_context(annotation: str, function: Callable[..., Any]) -> bool:
    """Whether an annotation that is only text means `Context`, under whatever name the function's module knows it."""
    first, *attributes = annotation.split(".")
    written = inspect.unwrap(function)
    names = getattr(written, "__globals__", None) or getattr(type(written).__call__, "__globals__", {})
    if first not in names:
        return annotation.rpartition(".")[2] == Context.__name__  # imported for type checkers only
    found = names[first]
    for attribute in attributes:
        found = getattr(found, attribute, None)
    return found is Context


def name_of(function: object, role: str) -> str:
    """A function's own name, or its role for an object that has none."""
    return getattr(function, "__name__", role)


def _counted(required: int) -> str:
    return f"{required} argument" + ("" if required == 1 else "s")
