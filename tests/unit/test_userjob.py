"""Which functions of a file are the job, how they are called, and what is said when they cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mapreduce.api import Context
from mapreduce.errors import InvalidUserCode
from mapreduce.userjob import Names
from tests.support.jobs import MINIMAL, describe_source, problem_of, user_job

PLAIN = """
    def mapper(line):
        yield line, 1

    def reducer(key, values):
        yield key, sum(values)
"""
DECORATED = """
    from mapreduce import Context, job

    wc = job("words", reducers=8, format="jsonl", args={"n": 3})

    @wc.mapper
    def words(line: str, ctx: Context):
        yield line, 1

    @wc.reducer(combiner=True)
    def total(key, values):
        yield key, sum(values)
"""


def test_two_plain_functions_are_a_job(tmp_path: Path) -> None:
    description = describe_source(tmp_path, PLAIN)
    assert (description.name, description.mapper, description.reducer, description.combiner) == (
        "job",
        "mapper",
        "reducer",
        None,
    )
    job = user_job(tmp_path, PLAIN)
    assert list(job.mapper("a")) == [("a", 1)]
    assert job.reducer is not None
    assert list(job.reducer("a", [1, 2])) == [("a", 3)]
    assert (job.mapper_arity, job.mapper_wants_ctx, job.named_reducer) == (1, False, None)


def test_a_decorated_job_declares_functions_and_options(tmp_path: Path) -> None:
    description = describe_source(tmp_path, DECORATED)
    assert (description.name, description.mapper, description.reducer, description.combiner) == (
        "words",
        "words",
        "total",
        "total",
    )
    assert (description.options.reducers, description.options.format) == (8, "jsonl")
    assert description.options.args == {"n": "3"}
    for spec in (MINIMAL, msgspec.structs.replace(MINIMAL, mapper="words", reducer="total", combiner="total")):
        job = user_job(tmp_path, DECORATED, spec)
        assert job.mapper_wants_ctx
        assert job.combiner is job.reducer is not None


def test_a_lambda_can_be_declared_and_found_again(tmp_path: Path) -> None:
    source = """
        from mapreduce import job
        j = job("x")
        j.mapper(lambda line: [(line, 1)])
        j.reducer(lambda k, v: [(k, 1)])
    """
    description = describe_source(tmp_path, source)
    assert description.problem is None
    spec = msgspec.structs.replace(MINIMAL, mapper=description.mapper, reducer=description.reducer)
    assert user_job(tmp_path, source, spec).mapper("a") == [("a", 1)]


@pytest.mark.parametrize(
    ("parameters", "arity", "wants_ctx"),
    [
        ("value", 1, False),
        ("key, value", 2, False),
        ("value, ctx", 1, True),
        ("key, value, ctx", 2, True),
        ("key, value, *, ctx", 2, True),
        ("value, ctx=None", 1, True),
        ("value, separator=','", 1, False),
        ("value, *rest, **options", 1, False),
        ("value, /, *, limit=3", 1, False),
    ],
)
def test_the_shape_of_a_mapper_is_read_from_its_parameters(
    tmp_path: Path, parameters: str, arity: int, wants_ctx: bool
) -> None:
    job = user_job(tmp_path, f"def mapper({parameters}): yield 'called', 1\n")
    assert (job.mapper_arity, job.mapper_wants_ctx) == (arity, wants_ctx)
    extra = {"ctx": Context()} if wants_ctx else {}
    assert list(job.mapper(*["x"] * arity, **extra)) == [("called", 1)]


@pytest.mark.parametrize("prelude", ["", "from __future__ import annotations\n"])
def test_the_context_is_also_known_by_its_annotation(tmp_path: Path, prelude: str) -> None:
    source = prelude + "import mapreduce\ndef mapper(line, c: mapreduce.Context): yield c.job_name, line\n"
    job = user_job(tmp_path, source)
    assert job.mapper_wants_ctx
    assert list(job.mapper("x", ctx=Context(job_name="me"))) == [("me", "x")]


@pytest.mark.parametrize("imported", ["from mapreduce import Context as C", "from mapreduce import api as C"])
def test_an_annotation_that_is_text_is_looked_up_where_the_function_is(tmp_path: Path, imported: str) -> None:
    name = "C" if "Context" in imported else "C.Context"
    source = f"from __future__ import annotations\n{imported}\ndef mapper(line, c: {name}): yield c.job_name, line\n"
    assert user_job(tmp_path, source).mapper_wants_ctx


def test_another_class_of_the_name_is_no_context(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nclass Context: ...\ndef mapper(offset, line: Context): yield line, 1\n"
    )
    job = user_job(tmp_path, source)
    assert (job.mapper_arity, job.mapper_wants_ctx) == (2, False)


@pytest.mark.parametrize("name", ["c", "context", "counter", "counters", "_ctx"])
def test_a_value_that_is_called_as_a_context_is_refused(tmp_path: Path, name: str) -> None:
    source = f"def mapper(line, {name}): yield line, 1\n"
    with pytest.raises(
        InvalidUserCode, match=rf"mapper\(line, {name}\): with two parameters a mapper gets \(key, value\)"
    ):
        user_job(tmp_path, source)
    assert user_job(tmp_path, f"def mapper({name}): yield 1, 2\n").mapper_arity == 1
    assert user_job(tmp_path, f"def mapper(key, {name}, *, ctx): yield 1, 2\n").mapper_arity == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "the file has no mapper. It has no functions. Write def mapper(value)"),
        ("def maper(x): ...", "the file has no mapper. It has maper. Did you mean maper?"),
        ("mapper = 3", "mapper is a value of type int, not a function"),
        ("class mapper: ...", "mapper is a class, not a function"),
        ("def mapper(): ...", "mapper() cannot be the mapper: it needs 0 arguments"),
        ("def mapper(a, b, c): ...", "mapper(a, b, c) cannot be the mapper: it needs 3 arguments"),
        ("def mapper(*a): ...", "mapper(*a) cannot be the mapper"),
        ("async def mapper(x): ...", "mapper is async"),
        ("async def mapper(x): yield x", "mapper is async"),
        ("def mapper(x, *, limit): ...", "needs limit by keyword"),
        ("def mapper(ctx, x): ...", "has ctx before x. Write ctx as the last parameter."),
        ("def mapper(x, ctx, /): ...", "ctx is passed by name"),
        ("mapper = dict.fromkeys; reducer = 3", "reducer is a value of type int, not a function"),
        ("def mapper(x): ...\ndef reducer(key): ...", "reducer(key) cannot be the reducer: it needs 1 argument."),
        ("def mapper(x): ...\nreducer = 'summ'", "the file has no reducer named summ. It has mapper. Did you mean sum"),
        ("def mapper(x): ...\nreducer = 'sum'\ndef combiner(k, v): ...", "combines by itself"),
        ("def mapper(x): ...\ndef reducer(k, v): ...\ndef combiner(k): ...", "cannot be the combiner"),
        ("def mapper(x): ...\ndef reducer(k, v): ...\ncombiner = 'sum'", "combiner is a value of type str"),
        ("from mapreduce import job\nj = job('x')", "job 'x' has no mapper. Decorate a function with @<job>.mapper."),
        ("from mapreduce import job\na = job('a'); b = job('b')", "the file declares 2 jobs ('a', 'b')"),
        (
            "from mapreduce import job\nj = job('x')\ndef mapper(v): ...\n@j.mapper\ndef other(v): ...",
            "both a plain function mapper and the job 'x'",
        ),
        (
            "from mapreduce import job\nj = job('x', reducer='sum')\n@j.mapper\ndef m(v): "
            "...\n@j.reducer\ndef r(k, v): ...",
            "declares its reducer twice",
        ),
        ("from mapreduce import job\nj = job('x')\n@j.mapper\n@j.mapper\ndef m(v): ...", "declares its mapper twice"),
        ("from mapreduce import job\nj = job('x', reducer='sun')\n@j.mapper\ndef m(v): ...", "no named reducer 'sun'"),
        ("from mapreduce import job\nj = job('x', reduces=2)", "has no option reduces. Did you mean reducers?"),
        (
            "from mapreduce import job\nj = job('x', reducers='2')\n@j.mapper\ndef m(v): ...",
            "job('x'): reducers: expected a whole number, got the text '2'.",
        ),
        (
            "from mapreduce import job\nj = job('x', format='jsnl')\n@j.mapper\ndef m(v): ...",
            "'jsnl' is none of lines, files, jsonl, csv. Did you mean jsonl?",
        ),
        (
            "from mapreduce import job\nj = job('x')\n@j.mapper(per='split')\ndef m(k, v): ...",
            "m(k, v) cannot be the split mapper: it needs 2 arguments",
        ),
        (
            "from mapreduce import job\nj = job('x')\n@j.mapper\ndef m(v): ...\nj.run('in', output='out')",
            'Put the call under `if __name__ == "__main__":`',
        ),
    ],
)
def test_code_that_is_no_job_is_refused_in_words(tmp_path: Path, source: str, said: str) -> None:
    assert said in problem_of(tmp_path, source)


def test_functions_can_be_chosen_by_name(tmp_path: Path) -> None:
    source = PLAIN + "    def other(key, value): yield key, value\n    def mine(key, values): yield key, 0\n"
    description = describe_source(tmp_path, source, Names(mapper="other", reducer="mine"))
    assert (description.mapper, description.reducer) == ("other", "mine")
    assert "no mapper named othr" in problem_of(tmp_path, source, Names(mapper="othr"))
    assert "Did you mean other?" in problem_of(tmp_path, source, Names(mapper="othr"))


@pytest.mark.parametrize("name", ["sum", "count", "mean", "min", "max", "list", "identity"])
def test_named_reducers_need_no_function(tmp_path: Path, name: str) -> None:
    for source, spec in (
        (f"def mapper(x): ...\nreducer = '{name}'\n", MINIMAL),
        ("def mapper(x): ...\n", msgspec.structs.replace(MINIMAL, reducer=name)),
        (f"from mapreduce import job\nj = job('x', reducer='{name}')\n@j.mapper\ndef m(x): ...\n", MINIMAL),
    ):
        job = user_job(tmp_path, source, spec)
        assert (job.reducer, job.named_reducer) == (None, name)


def test_a_function_of_the_file_goes_before_the_named_reducer_but_an_imported_one_does_not(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(MINIMAL, reducer="mean")
    own = user_job(tmp_path, "def mapper(x): ...\ndef mean(key, values): yield key, 7\n", spec)
    assert (own.reducer is not None, own.named_reducer) == (True, None)
    imported = user_job(tmp_path, "from statistics import mean\ndef mapper(x): ...\n", spec)
    assert (imported.reducer, imported.named_reducer) == (None, "mean")


def test_without_a_reducer_the_job_is_map_only_or_identity(tmp_path: Path) -> None:
    source = "def mapper(x): ...\n"
    assert describe_source(tmp_path, source).reducer is None
    map_only = user_job(tmp_path, PLAIN, msgspec.structs.replace(MINIMAL, reducers=0))
    assert (map_only.reducer, map_only.named_reducer) == (None, None)
    assert user_job(tmp_path, source, msgspec.structs.replace(MINIMAL, reducers=2)).named_reducer == "identity"


def test_the_combiner_declared_beside_a_reducer_goes_with_that_reducer_only(tmp_path: Path) -> None:
    source = PLAIN + "    combiner = reducer\n    def mine(key, values): yield key, 0\n"
    assert user_job(tmp_path, source).combiner is not None
    assert user_job(tmp_path, source, msgspec.structs.replace(MINIMAL, reducer="mine")).combiner is None
    assert user_job(tmp_path, source, msgspec.structs.replace(MINIMAL, reducer="sum")).combiner is None


def test_a_mapper_can_run_once_a_split(tmp_path: Path) -> None:
    source = "from mapreduce import job\nj = job('x')\n@j.mapper(per='split', with_keys={})\ndef m(r): yield from r\n"
    plain, keyed = (user_job(tmp_path, source.format(keys)) for keys in (False, True))
    assert (plain.mapper_per, plain.mapper_arity) == ("split", 1)
    assert (keyed.mapper_per, keyed.mapper_arity) == ("split", 2)


def test_one_of_several_jobs_is_chosen_by_its_mapper(tmp_path: Path) -> None:
    source = """
        from mapreduce import job
        a, b = job("a", reducer="sum"), job("b", reducer="max")
        @a.mapper
        def one(x): ...
        @b.mapper
        def two(x): ...
    """
    job = user_job(tmp_path, source, msgspec.structs.replace(MINIMAL, mapper="two"))
    assert (job.mapper.__name__, job.named_reducer) == ("two", "max")


def test_an_error_in_a_users_own_signature_is_data_too(tmp_path: Path) -> None:
    source = """
        class Odd:
            def __call__(self, value): ...
            @property
            def __signature__(self): raise RuntimeError("odd")
        mapper = Odd()
    """
    assert "odd" in problem_of(tmp_path, source)


def test_a_callable_object_can_be_a_mapper(tmp_path: Path) -> None:
    source = "class Add:\n    def __call__(self, key, value): yield key, value\nmapper = Add()\n"
    assert user_job(tmp_path, source).mapper_arity == 2


def test_the_context_counts(tmp_path: Path) -> None:
    ctx = Context()
    ctx.count("lines")
    ctx.count("lines", 2)
    assert ctx.counters == {"lines": 3}
    with pytest.raises(TypeError, match="takes a str and an int"):
        ctx.count(5)  # type: ignore[arg-type]


def test_a_refusal_is_an_invalid_user_code(tmp_path: Path) -> None:
    with pytest.raises(InvalidUserCode):
        user_job(tmp_path, "x = 1")
