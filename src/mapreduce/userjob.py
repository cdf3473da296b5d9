"""From an imported module to a `UserJob`: which of its functions are the mapper, the reducer and the combiner.

Importing the module is `loading`, how its functions can be called `signatures`, calling them the data plane's business.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, Literal, NoReturn

import msgspec

from mapreduce.api import JOB_MODULE, DeclaredMapper, Job
from mapreduce.errors import InvalidJobSpec, InvalidUserCode
from mapreduce.jobspec import NAMED_REDUCERS, Description, Options
from mapreduce.model import JobSpec
from mapreduce.signatures import FORMS, name_of, shape_of, shape_of_mapper
from mapreduce.typed import convert

Role = Literal["mapper", "reducer", "combiner"]


class UserJob(msgspec.Struct, frozen=True):
    """The user's functions, ready to be called. `reducer` and `named_reducer` exclude each other; neither: map-only."""

    name: str
    mapper: Callable[..., Any]
    mapper_arity: Literal[1, 2]
    """Positional parameters besides ctx: value, or key and value. With `mapper_per` "split" there is one parameter, an
    iterator over values (1) or over (key, value) pairs (2)."""
    mapper_wants_ctx: bool = False
    mapper_per: Literal["record", "split"] = "record"
    reducer: Callable[..., Any] | None = None
    reducer_wants_ctx: bool = False
    named_reducer: str | None = None
    combiner: Callable[..., Any] | None = None
    combiner_wants_ctx: bool = False
    types: Mapping[str, type] = msgspec.field(default_factory=dict)
    """`module:qualname` of the dataclasses and Structs of the job's own code, for values."""


class Names(msgspec.Struct, frozen=True):
    """Functions asked for by name; None takes what the code declares."""

    mapper: str | None = None
    reducer: str | None = None
    combiner: str | None = None

    @classmethod
    def asked_by(cls, spec: JobSpec) -> Names:
        """What a manifest asks for; the default name of the mapper asks for nothing."""
        return cls(spec.mapper if spec.mapper != "mapper" else None, spec.reducer, spec.combiner)


class Found(msgspec.Struct, frozen=True):
    """The functions of a job, and the names under which they are found again."""

    mapper: DeclaredMapper
    mapper_name: str
    reducer: Callable[..., Any] | None = None
    reducer_name: str | None = None
    combiner: Callable[..., Any] | None = None
    combiner_name: str | None = None
    job: Job | None = None


_AS_DECLARED: Final = Names()


def resolve_job(module: ModuleType, spec: JobSpec, *, name: str, types: Mapping[str, type] | None = None) -> UserJob:
    """The job that `spec` asks for, out of its imported code. Raises `InvalidUserCode`."""
    found = find_functions(module, Names(spec.mapper, spec.reducer, spec.combiner))
    return user_job(found, name=name, is_map_only=spec.reducers == 0, types=types or {})


def describe_module(module: ModuleType, *, name: str, names: Names = _AS_DECLARED) -> Description:
    """What a module declares, checked as far as possible without calling it.

    Raises `InvalidUserCode`, `InvalidJobSpec`.
    """
    return describe_found(find_functions(module, names), name=name)


def describe_found(found: Found, *, name: str) -> Description:
    """What functions declare, checked as far as possible without calling them. Raises as `describe_module`."""
    user_job(found, name=name, is_map_only=False, types={})
    return Description(
        name=found.job.name if found.job else name,
        mapper=found.mapper_name,
        reducer=found.reducer_name,
        combiner=found.combiner_name,
        options=_options(found.job) if found.job else Options(),
    )


def declaration_of(job: Job) -> Description:
    """What a `Job` object declares, for `Job.run` in the user's own process."""
    return describe_found(functions_of(job), name=job.name)


def functions_of(job: Job) -> Found:
    """The functions that a `Job` object declares. Raises `InvalidUserCode`."""
    mapper = job.declared_mapper
    if mapper is None:
        raise InvalidUserCode(f"job {job.name!r} has no mapper. Decorate one with @<job>.mapper.")
    reducer, reducer_name = _declared_reducer(job)
    return Found(
        mapper,
        name_of(mapper.function, "mapper"),
        reducer,
        reducer_name,
        job.declared_combiner,
        name_of(job.declared_combiner, "combiner") if job.declared_combiner else None,
        job,
    )


def user_job(found: Found, *, name: str, is_map_only: bool, types: Mapping[str, type]) -> UserJob:
    """Check the shapes of the functions found and bind them. Raises `InvalidUserCode`."""
    mapper, arity, mapper_wants_ctx = shape_of_mapper(found.mapper)
    if is_map_only:
        return UserJob(name, mapper, arity, mapper_wants_ctx, found.mapper.per, types=types)
    if found.reducer is None:
        if found.combiner is not None and found.reducer_name is not None:
            raise InvalidUserCode(
                f"the named reducer {found.reducer_name!r} combines by itself, but there is a combiner too. Remove "
                f"the combiner."
            )
        named = found.reducer_name or "identity"
        return UserJob(name, mapper, arity, mapper_wants_ctx, found.mapper.per, named_reducer=named, types=types)
    reducer, reducer_wants_ctx = shape_of("reducer", found.reducer, 2)
    combiner, combiner_wants_ctx = (None, False) if found.combiner is None else shape_of("combiner", found.combiner, 2)
    return UserJob(
        name,
        mapper,
        arity,
        mapper_wants_ctx,
        found.mapper.per,
        reducer=reducer,
        reducer_wants_ctx=reducer_wants_ctx,
        combiner=combiner,
        combiner_wants_ctx=combiner_wants_ctx,
        types=types,
    )


# ------------------------------------------------------------------------------------------------ finding functions


def find_functions(module: ModuleType, names: Names) -> Found:
    """Look up mapper, reducer and combiner: in the module's one `Job`, or as plain functions of those names."""
    job = _job_in(module, names.mapper)
    mapper, mapper_name = _find_mapper(module, job, names.mapper)
    reducer, reducer_name = _find_reducer(module, job, names.reducer)
    combiner, combiner_name = _find_combiner(module, job, names, reducer)
    return Found(mapper, mapper_name, reducer, reducer_name, combiner, combiner_name, job)


def _job_in(module: ModuleType, mapper_name: str | None) -> Job | None:
    jobs = list({id(value): value for value in vars(module).values() if isinstance(value, Job)}.values())
    if len(jobs) > 1:
        named = [
            job
            for job in jobs
            if job.declared_mapper and name_of(job.declared_mapper.function, "mapper") == mapper_name
        ]
        if len(named) != 1:
            listed = ", ".join(repr(job.name) for job in jobs)
            raise InvalidUserCode(
                f"the file declares {len(jobs)} jobs ({listed}). Keep one, or name one's mapper function."
            )
        return named[0]
    if jobs:
        plain = vars(module).get("mapper")
        declared = jobs[0].declared_mapper
        if _is_function(plain) and declared is not None and declared.function is not plain and mapper_name is None:
            raise InvalidUserCode(
                f"the file has both a plain function mapper and the job {jobs[0].name!r} with its own. Keep one of "
                f"them."
            )
        return jobs[0]
    return None


def _find_mapper(module: ModuleType, job: Job | None, name: str | None) -> tuple[DeclaredMapper, str]:
    declared = job.declared_mapper if job else None
    if declared is not None and name in {None, "mapper", name_of(declared.function, "mapper")}:
        return declared, name_of(declared.function, "mapper")
    name = name or "mapper"
    function = vars(module).get(name)
    if function is None:
        if job is not None and name == "mapper":
            raise InvalidUserCode(f"job {job.name!r} has no mapper. Decorate a function with @<job>.mapper.")
        _raise_missing("mapper", name, module)
    if not _is_function(function):
        raise InvalidUserCode(f"{name} is {_a(function)}, not a function. Write {FORMS['mapper']}.")
    return DeclaredMapper(function), name


def _find_reducer(
    module: ModuleType, job: Job | None, name: str | None
) -> tuple[Callable[..., Any] | None, str | None]:
    """The reducer's function, or None and the name of a named one, or None twice where there is no reducer."""
    if job is not None:
        function, declared_name = _declared_reducer(job)
        if name in {None, declared_name}:
            return function, declared_name
    declared = vars(module).get("reducer") if job is None or name is not None else None
    if name is None and declared is None:
        return None, None
    if isinstance(declared, str) and name in {None, "reducer"}:
        name = declared  # `reducer = "sum"` in the file
    name = name or "reducer"
    function = vars(module).get(name)
    if _is_function(function) and (name not in NAMED_REDUCERS or _is_own(function, module)):
        return function, name
    if name in NAMED_REDUCERS:
        return None, name
    if function is None:
        _raise_missing("reducer", name, module)
    raise InvalidUserCode(
        f"{name} is {_a(function)}, not a function. Write {FORMS['reducer']}, "
        f"or name one of {', '.join(NAMED_REDUCERS)}."
    )


def _find_combiner(
    module: ModuleType, job: Job | None, names: Names, reducer: Callable[..., Any] | None
) -> tuple[Callable[..., Any] | None, str | None]:
    """The combiner asked for; unasked, the one that the code declares beside the reducer in use."""
    if job is not None and job.declared_combiner is not None:
        declared_name = name_of(job.declared_combiner, "combiner")
        if names.combiner == declared_name or (names.combiner is None and reducer is job.declared_reducer):
            return job.declared_combiner, declared_name
    name = names.combiner
    if name is None:
        is_declared = job is None and (names.reducer is None or reducer is vars(module).get("reducer"))
        if not is_declared or "combiner" not in vars(module):
            return None, None
        name = "combiner"
    function = vars(module).get(name)
    if function is None:
        _raise_missing("combiner", name, module)
    if not _is_function(function):
        raise InvalidUserCode(f"{name} is {_a(function)}, not a function. Write {FORMS['combiner']}.")
    return function, name


def _declared_reducer(job: Job) -> tuple[Callable[..., Any] | None, str | None]:
    named = job.options.get("reducer")
    if job.declared_reducer is not None:
        if named is not None:
            raise InvalidUserCode(
                f"job {job.name!r} declares its reducer twice: as a function and as {named!r}. Keep one."
            )
        return job.declared_reducer, name_of(job.declared_reducer, "reducer")
    if named is not None and named not in NAMED_REDUCERS:
        raise InvalidUserCode(f"job {job.name!r}: no named reducer {named!r}. There are {', '.join(NAMED_REDUCERS)}.")
    return None, named


def _options(job: Job) -> Options:
    raw = {name: value for name, value in job.options.items() if name != "reducer" and value is not None}
    if isinstance(raw.get("args"), Mapping):
        raw["args"] = {str(name): str(value) for name, value in raw["args"].items()}
    try:
        return convert(raw, Options)
    except msgspec.ValidationError as error:
        from mapreduce.specerrors import in_words

        problem = in_words(error, raw, Options)
        raise InvalidJobSpec(f"job({job.name!r}): {problem.field}", problem.problem, problem.fix) from None


def _raise_missing(role: Role, name: str, module: ModuleType) -> NoReturn:
    """Say which functions there are, and which one was probably meant."""
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value) and _is_own(value, module)]
    known = [*functions, *NAMED_REDUCERS] if role == "reducer" else functions
    near = difflib.get_close_matches(name, known, n=1)
    has = f"It has {', '.join(functions)}." if functions else "It has no functions."
    hint = f"Did you mean {near[0]}?" if near else f"Write {FORMS[role]}."
    raise InvalidUserCode(f"the file has no {role if name == role else f'{role} named {name}'}. {has} {hint}")


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_own(function: object, module: ModuleType) -> bool:
    """Whether the module itself defines it: an imported `mean` does not stand for the named reducer."""
    return getattr(function, "__module__", None) in {module.__name__, JOB_MODULE}


def _a(value: object) -> str:
    return "a class" if isinstance(value, type) else f"a value of type {type(value).__name__}"
