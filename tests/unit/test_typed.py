"""Types are decoded by many threads from their first use on."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from mapreduce import typed

#: Many types, each used for the first time by four threads at once. With msgspec's own functions in place of ours it
#: ends by SIGSEGV at one of the first types.
FIRST_USES = """
import sys, threading, msgspec
from mapreduce import typed

sys.setswitchinterval(1e-6)
raw = {"a": {f"f{j}": j for j in range(8)}, "b": [{"f0": 1}]}
text, packed = msgspec.json.encode(raw), msgspec.msgpack.encode(raw)
failures = []


def use(kind, start, way):
    start.wait()
    try:
        found = way(kind)
        assert found.a.f7 == 7 and found.b[0].f0 == 1, found
    except BaseException as error:
        failures.append(error)


for number in range(200):
    inner = msgspec.defstruct(f"Inner{number}", [(f"f{j}", int, 0) for j in range(8)])
    outer = msgspec.defstruct(f"Outer{number}", [("a", inner), ("b", list[inner], [])])
    ways = [
        lambda kind: typed.convert(raw, kind),
        lambda kind: typed.from_json(text, kind),
        lambda kind: typed.from_msgpack(packed, kind),
        lambda kind: typed.json_decoder(kind).decode(text),
    ]
    start = threading.Barrier(len(ways))
    threads = [threading.Thread(target=use, args=(outer, start, way)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert not failures, failures[0]
"""


class Point(msgspec.Struct):
    x: int
    y: int = 0


def test_threads_that_are_the_first_to_use_a_type_all_get_its_values() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_way_gives_the_type() -> None:
    assert typed.convert({"x": 1}, Point) == Point(1)
    assert typed.convert({"x": "1"}, Point, strict=False) == Point(1)
    assert typed.from_json(b'{"x":1,"y":2}', Point) == Point(1, 2)
    assert typed.from_msgpack(msgspec.msgpack.encode({"x": 1}), Point) == Point(1)
    assert typed.json_decoder(Point).decode(b'{"x":3}') == Point(3)
    assert typed.msgpack_decoder(Point).decode(msgspec.msgpack.encode({"x": 3})) == Point(3)


def test_what_is_no_such_value_is_refused_as_msgspec_does() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$\.x`"):
        typed.from_json(b'{"x":"1"}', Point)
    with pytest.raises(msgspec.DecodeError):
        typed.from_msgpack(b"\xc1", Point)
