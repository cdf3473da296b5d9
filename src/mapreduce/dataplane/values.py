"""The codec of columns: lists of keys or values as bytes, so that what comes out is what went in.

Pure. Storable are None, bool, int (any size), float, str (surrogates too), bytes, tuples, lists, dicts, dataclasses and
msgspec Structs, exactly these types and no subclasses of the plain ones. Classes are resolved only inside the mapping
that the job's own code declares, so bytes from a run can never name anything else.

A column is one byte, then msgpack::

    0x00  an array of the members
    0x01  an array of arrays; the members are tuples of None, bool, int, float, str and bytes

msgpack has no big integers, tuples or strings with surrogates; these are extension types::

    1  int beyond 64 bits: shortest big-endian two's complement
    2  tuple: msgpack array of its elements
    3  str with lone surrogates: UTF-8 with `surrogatepass`
    4  `ExactSum`: msgpack array [count, whole, scaled, has_float, partials...]
    5  dataclass or Struct: msgpack array ["module:qualname", field values...], fields in order of definition
    6  dict whose keys are not all plain scalars: msgpack array [key, value, key, value, ...]

Encoding a plain column is one call in C after a look at the types; only what needs an extension is walked in Python.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from mapreduce.dataplane.exactsum import ExactSum
from mapreduce.dataplane.keys import MAX_DEPTH, SCALARS, int_bytes
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.errors import MapReduceError

__all__ = ["Codec", "UndecodableColumn", "UnstorableValue", "decode_column", "encode_column", "normalise"]

_PLAIN: Final = b"\x00"
_TUPLES: Final = b"\x01"
_BIG_INT, _TUPLE, _SURROGATES, _EXACT_SUM, _OBJECT, _DICT = range(1, 7)
_CONTAINERS: Final = SCALARS | {list, dict}
_MIN_INT, _MAX_INT = -(1 << 63), (1 << 64) - 1


class UndecodableColumn(MapReduceError):
    """Bytes that are no column, or name a class that the job does not declare."""


class Codec:
    """Encodes and decodes columns for one job; `types` maps ``module:qualname`` to its dataclasses and Structs."""

    def __init__(self, types: Mapping[str, type] | None = None) -> None:
        self._types = dict(types or {})
        self._names = {declared: name for name, declared in self._types.items()}
        self._encode = Encoder().encode
        self._decode = Decoder(ext_hook=self._from_ext).decode

    def encode_column(self, values: Sequence[Any], role: str = "value") -> bytes:
        """The column's bytes. Raises `UnstorableValue`, naming the type and `role`, for what is not storable."""
        try:
            if _is_plain(values):
                return _PLAIN + self._encode(values)
            if _is_flat_tuples(values):
                return _TUPLES + self._encode(values)
        except (OverflowError, UnicodeEncodeError):
            pass  # big integers and surrogates need extension types
        return _PLAIN + self._encode([self._to_wire(value, role, 0) for value in values])

    def decode_column(self, data: bytes | memoryview) -> list[Any]:
        """The members of a column. Raises `UndecodableColumn` for anything that `encode_column` cannot have made."""
        view = memoryview(data)
        try:
            members = self._decode(view[1:])
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise UndecodableColumn(f"a column does not decode: {error}") from error
        kind = bytes(view[:1])
        if type(members) is not list or kind not in (_PLAIN, _TUPLES):
            raise UndecodableColumn("a column is of no known kind")
        if kind == _PLAIN:
            return members
        if not set(map(type, members)) <= {list}:
            raise UndecodableColumn("a column of tuples holds something else")
        return list(map(tuple, members))

    def normalise(self, value: Any, role: str = "value") -> Any:
        """The value as it comes out of a run. Raises `UnstorableValue`."""
        if type(value) in SCALARS:
            return value
        return self.decode_column(self.encode_column([value], role))[0]

    # -------------------------------------------------------------------------------------- values to msgpack and back

    def _to_wire(self, value: Any, role: str, depth: int) -> Any:
        """`value` with everything that msgpack lacks replaced by extension types."""
        kind = type(value)
        if kind is int:
            return value if _MIN_INT <= value <= _MAX_INT else Ext(_BIG_INT, int_bytes(value))
        if kind is str:
            return value if _is_encodable(value) else Ext(_SURROGATES, value.encode("utf-8", "surrogatepass"))
        if kind in SCALARS:
            return value
        if depth == MAX_DEPTH:
            raise UnstorableValue(role, value, f"it is nested deeper than {MAX_DEPTH} levels")
        if kind is list:
            return [self._to_wire(member, role, depth + 1) for member in value]
        if kind is tuple:
            return self._ext(_TUPLE, [self._to_wire(member, role, depth + 1) for member in value])
        if kind is dict:
            return self._dict_to_wire(value, role, depth + 1)
        if kind is ExactSum:
            return self._ext(_EXACT_SUM, _sum_fields(self, value))
        if dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct):
            return self._object_to_wire(value, role, depth + 1)
        raise UnstorableValue(role, value)

    def _dict_to_wire(self, value: dict[Any, Any], role: str, depth: int) -> Any:
        flat = [self._to_wire(member, role, depth) for member in itertools.chain.from_iterable(value.items())]
        if SCALARS.issuperset(map(type, flat[::2])):
            return dict(zip(flat[::2], flat[1::2], strict=True))
        return self._ext(_DICT, flat)

    def _object_to_wire(self, value: Any, role: str, depth: int) -> Ext:
        kind = type(value)
        name = self._names.get(kind)
        if name is None:
            raise UnstorableValue(role, value, "its class is not defined in the job's own code")
        parts: list[Any] = [name]
        for field in _field_names(kind):
            try:
                parts.append(self._to_wire(getattr(value, field), role, depth))
            except AttributeError:
                raise UnstorableValue(role, value, f"its field {field!r} is not set") from None
            except UnstorableValue as error:
                raise UnstorableValue(role, error.culprit, f"it is in field {field!r} of {name}") from None
        return self._ext(_OBJECT, parts)

    def _ext(self, code: int, parts: list[Any]) -> Ext:
        return Ext(code, self._encode(parts))

    def _from_ext(self, code: int, data: memoryview) -> Any:
        if code == _BIG_INT:
            return int.from_bytes(data, "big", signed=True)
        if code == _SURROGATES:
            return bytes(data).decode("utf-8", "surrogatepass")
        parts = self._decode(data)
        if type(parts) is not list:
            raise ValueError("an extension type holds no array")
        if code == _TUPLE:
            return tuple(parts)
        if code == _DICT:
            return dict(zip(parts[::2], parts[1::2], strict=True))
        if code == _EXACT_SUM:
            count, whole, scaled, has_float, *partials = parts
            return ExactSum(count, whole, tuple(partials), scaled, has_float)
        if code == _OBJECT:
            return self._object_from(*parts)
        raise ValueError(f"extension type {code} is unknown")

    def _object_from(self, name: str, *members: Any) -> Any:
        kind = self._types.get(name)
        if kind is None:
            raise ValueError(f"class {name} is not one of the job's")
        fields = dict(zip(_field_names(kind), members, strict=True))
        if issubclass(kind, msgspec.Struct):
            return kind(**fields)
        made = object.__new__(kind)  # what was stored is restored: no __init__ computes or checks anything again
        for field, member in fields.items():
            object.__setattr__(made, field, member)
        return made


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether msgpack alone carries these types; looks at one level of nesting after the other, each in C."""
    level: Sequence[Any] = values
    for _ in range(MAX_DEPTH):
        types = set(map(type, level))
        if types <= SCALARS:
            return True
        if not types <= _CONTAINERS:
            return False
        below: list[Any] = []
        if list in types:
            below.extend(itertools.chain.from_iterable([member for member in level if type(member) is list]))
        if dict in types:
            dicts = [member for member in level if type(member) is dict]
            if not SCALARS.issuperset(map(type, itertools.chain.from_iterable(dicts))):
                return False
            below.extend(itertools.chain.from_iterable(map(dict.values, dicts)))
        level = below
    return False


def _is_flat_tuples(values: Sequence[Any]) -> bool:
    """Whether all members are tuples of plain scalars."""
    if set(map(type, values)) != {tuple}:
        return False
    return SCALARS.issuperset(map(type, itertools.chain.from_iterable(values)))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sum_fields(codec: Codec, value: ExactSum) -> list[Any]:
    wide = [codec._to_wire(number, "value", 0) for number in (value.count, value.whole, value.scaled)]  # noqa: SLF001 - same module
    return [*wide, value.has_float, *value.partials]


def _field_names(kind: type[Any]) -> tuple[str, ...]:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(kind))


_DEFAULT: Final = Codec()


def encode_column(values: Sequence[Any]) -> bytes:
    """`Codec.encode_column` of a job without classes of its own."""
    return _DEFAULT.encode_column(values)


def decode_column(data: bytes | memoryview) -> list[Any]:
    """`Codec.decode_column` of a job without classes of its own."""
    return _DEFAULT.decode_column(data)


def normalise(value: Any, types: Mapping[str, type] | None = None) -> Any:
    """The value as it comes out of a run of a job with these classes. Raises `UnstorableValue`."""
    return codec_for(types).normalise(value)


def codec_for(types: Mapping[str, type] | None) -> Codec:
    """A codec for these classes; the shared one where there are none: making one takes longer than a tiny task."""
    return Codec(types) if types else _DEFAULT
