from __future__ import annotations

import collections
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pytest

from mapreduce.dataplane.exactsum import exact_sum
from mapreduce.dataplane.values import (
    Codec,
    UndecodableColumn,
    UnstorableValue,
    decode_column,
    encode_column,
    normalise,
)


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    tags: tuple[str, ...] = ()
    doubled: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.x * 2)


class Pair(NamedTuple):
    a: int
    b: int


class Reading(msgspec.Struct):
    at: float
    of: Any = None


TYPES = {"job:Point": Point, "job:Reading": Reading}

SAMPLES: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**4000, 1.5, -0.0, math.inf,
    "", "a", "é", "\udcff\ud800", b"", b"\xff", (), (1,), (1, ("a", (None,))), [], [1, (2, [3])], {}, {"a": [1]},
    {1: 2, None: 3}, {(1, 2): {(3,): 4}}, {2**70: "big"}, {"\ud800": "\udfff"}, [[[]]], exact_sum([0.1, 2**70, 1e300]),
]  # fmt: skip


@pytest.mark.parametrize("value", SAMPLES)
def test_every_storable_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    for column in ([value], [value, value], [value, "other", (1, [2])]):
        decoded = decode_column(encode_column(column))
        assert repr(decoded) == repr(column)
    assert repr(normalise(value)) == repr(value)


def test_a_column_of_all_samples_comes_back() -> None:
    assert repr(decode_column(encode_column(SAMPLES))) == repr(SAMPLES)
    assert decode_column(encode_column([])) == []


def test_columns_of_flat_tuples_come_back_as_tuples() -> None:
    column = [("a", 1), ("b", 2.5), ()]
    assert decode_column(encode_column(column)) == column


def test_dataclasses_and_structs_come_back_when_the_job_declares_them() -> None:
    codec = Codec(TYPES)
    column = [Point(1, ("a",)), Reading(1.5, {"of": Point(2)}), [Point(3)], (Reading(0.0),)]
    assert codec.decode_column(codec.encode_column(column)) == column
    assert normalise(Point(4), TYPES) == Point(4)


def test_a_class_from_elsewhere_is_refused_when_stored_and_when_read() -> None:
    with pytest.raises(UnstorableValue, match="its class is not defined in the job's own code"):
        encode_column([Point(1)])
    with pytest.raises(UndecodableColumn, match="job:Point is not one of the job's"):
        decode_column(Codec(TYPES).encode_column([Point(1)]))


def test_an_unstorable_field_is_named() -> None:
    with pytest.raises(UnstorableValue, match=r"type set .*: it is in field 'of' of job:Reading"):
        Codec(TYPES).encode_column([Reading(1.0, {1, 2})])


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ({1}, "sorted"),
        (collections.Counter("ab"), "dict"),
        (Pair(1, 2), "tuple"),
        (bytearray(b"a"), "Values are None"),
        ([object()], "Values are None"),
        ({"a": 1j}, "Values are None"),
    ],
)
def test_what_is_unstorable_is_refused_with_advice(value: Any, advice: str) -> None:
    with pytest.raises(UnstorableValue, match=advice):
        normalise(value)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnstorableValue, match="nested deeper"):
        encode_column([endless])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x02\x90",
        b"\x00\xc0",
        b"\x00\xdd\xff\xff\xff\xff",
        b"\x00" + b"\x91" * 100_000,
        b"\x01\x91\x01",
        b"\x00\x91\xd4\x63\x00",
        b"\x00\x91\xc7\x01\x05\xc0",
        b"\x00\x91\xc7\x02\x06\x91\x01",
        b"\x00\x91\xc7\x01\x04\x90",
        b"\x00\x91\xc7\x02\x05\x91\xc0",
        b"\x00\x90\x90",
    ],
)
def test_bytes_that_are_no_column_are_refused(data: bytes) -> None:
    with pytest.raises(UndecodableColumn):
        decode_column(data)
