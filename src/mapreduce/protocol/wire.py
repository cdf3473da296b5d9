"""Messages to bytes and back: JSON by msgspec, with errors that name the field. Pure.

The types are in `messages` and `singlesteps`. A decoder is prepared once for a type and used for every body of it. What
it returns is within all bounds of its type and can be written to the log, which holds no integer beyond 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from mapreduce import typed
from mapreduce.errors import InvalidRequest

#: Largest body of an ordinary call, in bytes.
BODY_LIMIT_BYTES: Final = 1 << 20
#: Largest body of a worker's call: a commit may list the sizes of 100 000 partitions.
WORKER_BODY_LIMIT_BYTES: Final = 8 << 20
#: Largest code bundle.
CODE_LIMIT_BYTES: Final = 64 << 20
#: Largest piece of a run or output that is uploaded.
UPLOAD_LIMIT_BYTES: Final = 8 << 20
#: Largest log of one attempt.
LOG_LIMIT_BYTES: Final = 256 << 10

T = TypeVar("T")

_MAX_MESSAGE_CHARS: Final = 500
#: How msgspec says where in the body it found the problem.
_PLACE: Final = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<place>.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")

_JSON: Final = msgspec.json.Encoder()
_LOGGED: Final = msgspec.msgpack.Encoder()


class Decoder(Generic[T]):
    """Decodes bodies of one type."""

    __slots__ = ("_decode", "type")

    def __init__(self, message_type: type[T]) -> None:
        self.type = message_type
        self._decode: Callable[[bytes | str], T] = typed.json_decoder(message_type).decode

    def decode(self, body: bytes | str) -> T:
        """The message in `body`; raises InvalidRequest, naming the field and what was expected there."""
        try:
            message = self._decode(body)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(_short(f"The body is not JSON: {error}")) from None
        except RecursionError:
            raise InvalidRequest("The body is nested too deeply.") from None
        _refuse_what_the_log_cannot_hold(message)
        return message


def encode(message: object) -> bytes:
    """The message as compact JSON in UTF-8, fields with their default value left out."""
    return _JSON.encode(message)


def convert(texts: Mapping[str, str], message_type: type[T]) -> T:
    """Path and query parameters as their type: texts become numbers where the type has them.

    Raises InvalidRequest, naming the parameter.
    """
    try:
        parameters = typed.convert(texts, message_type, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except UnicodeError:
        raise InvalidRequest("A parameter is not UTF-8.") from None
    _refuse_what_the_log_cannot_hold(parameters)
    return parameters


def _invalid(text: str) -> InvalidRequest:
    """An InvalidRequest `field: problem` made of msgspec's `problem - at `$.field``."""
    match = _PLACE.match(text)
    problem, place = (match["problem"], match["place"] or "$") if match else (text, "$")
    if missing := _MISSING.match(problem):
        place, problem = f"{place}.{missing['name']}", "is missing"
    field = place.replace("$.", "", 1) if place != "$" else "body"
    return InvalidRequest(_short(f"{field}: {problem}"))


def _short(text: str) -> str:
    """Bounded, for msgspec quotes values, and a value may be as long as the body."""
    return text if len(text) <= _MAX_MESSAGE_CHARS else text[:_MAX_MESSAGE_CHARS] + " ..."


def _refuse_what_the_log_cannot_hold(message: object) -> None:
    """Raise InvalidRequest if an integer is beyond 64 bits: JSON and msgspec allow it, the log's msgpack does not."""
    try:
        _LOGGED.encode(message)
    except OverflowError:
        place = _place_of_big_integer(msgspec.to_builtins(message)) or "body"
        raise InvalidRequest(f"{place}: an integer here is beyond 64 bits.") from None


def _place_of_big_integer(value: Any, place: str = "") -> str:
    """Where in decoded JSON the first integer beyond 64 bits is, as `a.b[0]`; empty if there is none."""
    if isinstance(value, int):
        return place if not -(1 << 63) <= value < 1 << 64 else ""
    if isinstance(value, dict):
        inside = ((f"{place}.{key}" if place else str(key), item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        inside = ((f"{place}[{index}]", item) for index, item in enumerate(value))
    else:
        return ""
    return next((found for where, item in inside if (found := _place_of_big_integer(item, where))), "")
