r"""How a record looks in an output: one line of text, or one line of JSON. Pure; files are `outputs`' business.

``text``: key<TAB>value<LF>. str and bytes as they are, so bytes that came in as surrogates leave as they were; any
other type as JSON. A tab or newline inside a key, or a newline inside a value, makes the line ambiguous: it is counted,
and ``jsonl`` is the exact format. (The first tab ends the key, so tabs inside a value are no loss.)

``jsonl``: ``[key, value]``. What JSON lacks is written so: bytes ``{"$bytes": base64}``, a dict with keys that are no
strings (or begin with ``$``) ``{"$dict": [[key, value], ...]}``, tuples as arrays, dataclasses and Structs as objects
of their fields, NaN and infinities as Python's `json` writes and reads them (``NaN``, ``Infinity``), lone surrogates
escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Sequence
from json.encoder import encode_basestring as quote
from typing import Any, Final

import msgspec

from mapreduce.dataplane.keys import MAX_DEPTH
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.model import OutputFormat

KEY_WARNING: Final = "text_separator_in_key"
VALUE_WARNING: Final = "text_separator_in_value"

_encode_json: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_JSON_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def format_record(key: Any, value: Any, output_format: OutputFormat) -> bytes:
    """One record as its line, newline included. Raises `UnstorableValue`."""
    if output_format == "text":
        return _as_text(key, "key") + b"\t" + _as_text(value, "value") + b"\n"
    return b"[" + _as_json(key, "key") + b", " + _as_json(value, "value") + b"]\n"


def parse_jsonl(line: bytes | str) -> tuple[Any, Any]:
    """Key and value of a line of ``jsonl``. Keys are as they were; in values tuples, dataclasses and Structs are as
    JSON has them: lists and dicts. Raises ValueError.
    """
    key, value = json.loads(line)
    return _key_from_json(key), _value_from_json(value)


def _key_from_json(key: Any) -> Any:
    if isinstance(key, list):
        return tuple(map(_key_from_json, key))
    return _value_from_json(key)


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_value_from_json, value))
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if value.keys() == {"$dict"}:
        return {_key_from_json(name): _value_from_json(member) for name, member in value["$dict"]}
    return {name: _value_from_json(member) for name, member in value.items()}


def format_batch(keys: Sequence[Any], values: Sequence[Any], output_format: OutputFormat) -> bytes:
    """Many records, the same bytes as `format_record` for each. Quick for str keys with str or int values."""
    key_types, value_types = set(map(type, keys)), set(map(type, values))
    if key_types == {str} and (value_types == {int} or value_types == {str}):
        try:
            if output_format == "text":
                lines = [f"{key}\t{value}\n" for key, value in zip(keys, values, strict=True)]
            elif value_types == {int}:
                lines = [f"[{quote(key)}, {value}]\n" for key, value in zip(keys, values, strict=True)]
            else:
                lines = [f"[{quote(key)}, {quote(value)}]\n" for key, value in zip(keys, values, strict=True)]
            return "".join(lines).encode()
        except ValueError:
            pass  # surrogates, or an integer too long for str(): one by one says which
    return b"".join([format_record(key, value, output_format) for key, value in zip(keys, values, strict=True)])


def count_separators(members: Sequence[Any], separators: str) -> int:
    """How many members hold one of the `separators` where text output writes it as it is."""
    texts, bytestrings = tuple(separators), tuple(separator.encode() for separator in separators)
    found = 0
    for member in members:
        if type(member) is str:
            found += any(separator in member for separator in texts)
        elif type(member) is bytes:
            found += any(separator in member for separator in bytestrings)
    return found


def _as_text(value: Any, role: str) -> bytes:
    if type(value) is str:
        return _original_bytes(value)
    return bytes(value) if type(value) is bytes else _as_json(value, role)


def _original_bytes(text: str) -> bytes:
    """UTF-8, where surrogates that stand for undecodable bytes become these bytes again."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that no undecodable byte stands for keep their own encoding
        return b"".join(
            [
                char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass")
                for char in text
            ]
        )


def _as_json(value: Any, role: str) -> bytes:
    plain = value if type(value) in _JSON_SCALARS else _to_json(value, role, 0)
    try:
        return _encode_json(plain).encode()
    except UnicodeEncodeError:
        return json.dumps(plain).encode()
    except ValueError as error:  # the interpreter's limit on decimal digits
        raise UnstorableValue(role, value, f"an integer is too long to be written in decimals ({error})") from error


def _to_json(value: Any, role: str, depth: int) -> Any:
    """The value in types that `json` writes exactly."""
    kind = type(value)
    if kind in _JSON_SCALARS:
        return value
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if depth == MAX_DEPTH:
        raise UnstorableValue(role, value, f"it is nested deeper than {MAX_DEPTH} levels")
    if kind is list or kind is tuple:
        return [_to_json(member, role, depth + 1) for member in value]
    if kind is dict and all(type(name) is str and not name.startswith("$") for name in value):
        return {name: _to_json(member, role, depth + 1) for name, member in value.items()}
    if kind is dict:
        return {"$dict": [[_to_json(member, role, depth + 1) for member in pair] for pair in value.items()]}
    if isinstance(value, msgspec.Struct):
        return {name: _to_json(getattr(value, name), role, depth + 1) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _to_json(getattr(value, field.name), role, depth + 1) for field in fields}
    raise UnstorableValue(role, value)
