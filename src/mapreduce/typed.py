"""Bytes and plain values into types: the one door to msgspec's decoders, whose first use is not safe in threads.

msgspec (0.22) fills in what it knows of a struct when it is decoded for the first time, and a second thread that comes
upon it half filled ends the process by a segmentation fault. So each type is made ready once, under a lock, and used by
everybody after that without one. A test sees to it that nobody goes round this module.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_lock: Final = threading.RLock()
_ready: Final[set[Any]] = set()


def from_json(data: bytes | str, kind: type[T]) -> T:
    """The value of a JSON text. Raises msgspec.DecodeError (ValidationError is one kind) and UnicodeDecodeError."""
    _make_ready(kind)
    return msgspec.json.decode(data, type=kind)


def from_msgpack(data: bytes, kind: type[T]) -> T:
    """The value of MessagePack bytes. Raises msgspec.DecodeError."""
    _make_ready(kind)
    return msgspec.msgpack.decode(data, type=kind)


def convert(raw: object, kind: type[T], *, strict: bool = True) -> T:
    """Mappings, lists and scalars as a type; not `strict` takes texts for numbers. Raises msgspec.ValidationError."""
    _make_ready(kind)
    return msgspec.convert(raw, kind, strict=strict)


def json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """For many texts of one type (or union of types)."""
    _make_ready(kind)
    return msgspec.json.Decoder(kind)


def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """For many messages of one type (or union of types)."""
    _make_ready(kind)
    return msgspec.msgpack.Decoder(kind)


def schema_components(kinds: Iterable[Any], *, ref_template: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """JSON schemas of types: one for each, and those that they refer to by name."""
    with _lock:  # looks into the types by the same means
        return msgspec.json.schema_components(kinds, ref_template=ref_template)


def _make_ready(kind: Any) -> None:
    if kind not in _ready:
        with _lock:
            msgspec.msgpack.Decoder(kind)
            _ready.add(kind)
