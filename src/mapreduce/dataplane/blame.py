"""From an exception to the `TaskFailed` that its user can act on: whose fault, where, and their own traceback."""

from __future__ import annotations

import reprlib
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.errors import TaskFailed

_OWN_CODE: Final = str(Path(__file__).parent.parent)
_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


class Misuse(Exception):
    """A user's function returned something of another shape than it should."""


def failure_of(error: BaseException, culprit: str, record: str) -> TaskFailed:
    """What an exception inside `culprit` ("the mapper", ...) means for the attempt."""
    match error:
        case TaskFailed():
            return error
        case UnstorableValue():
            return TaskFailed("unstorable", f"{culprit} emitted what cannot be stored: {error}", record=record)
        case Misuse():
            return TaskFailed("user", f"{culprit} {error}", record=record)
        case MemoryError():
            message = f"{culprit} ran out of memory. Give the workers more, or emit less for each record."
            return TaskFailed("memory", message, traceback=user_traceback(error), record=record)
        case _:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return TaskFailed("user", f"{culprit} raised {text}", traceback=user_traceback(error), record=record)


def is_users(error: BaseException) -> bool:
    """Whether it was raised by the user's code, or by something that this code called."""
    return _users_part(error.__traceback__) is not None


def user_traceback(error: BaseException) -> str:
    """The traceback from the user's first frame on; without any such frame just the exception."""
    part = _users_part(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, part)) if part else _last_line(error)


def shown(value: object) -> str:
    """A value for a message, cut where it is long; never raises, whatever the value is."""
    try:
        return _SHORT.repr(value)
    except Exception:  # a repr of the user's, or an integer beyond the limit on decimal digits
        return f"<{type(value).__name__}>"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        trace = trace.tb_next
    return trace


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error))
