"""Brings one file to the coordinator, piece by piece; goes on where it was after an interruption of any length."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Final, Protocol

from mapreduce.errors import TaskFailed, Unauthorized, Unreachable
from mapreduce.protocol.client import Refusal
from mapreduce.protocol.messages import UploadReply
from mapreduce_worker.agent.lanes import Backoff
from mapreduce_worker.agent.preparing import is_passing

PIECE_BYTES: Final = 4 << 20


class Put(Protocol):
    """A call of the client that hands in a piece of one file."""

    def __call__(self, session: str, *, offset: int, piece: bytes) -> UploadReply:
        """Returns how much has arrived."""


def upload(
    put: Put, session: Callable[[], str], path: str, is_wanted: Callable[[], bool], *, piece_bytes: int = PIECE_BYTES
) -> bool:
    """Upload the file; returns whether all of it has arrived, False once it is not wanted any more.

    Tries again for as long as it is wanted while the coordinator is away. Raises `Refusal` when it does not take the
    file, `OSError` when the file cannot be read.
    """
    backoff = Backoff()
    offset = 0
    # whoever made the file may have put a link or a pipe in its place
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TaskFailed("user", f"{path} is not the file that the task wrote. The job's code must leave it alone.")
        while is_wanted():
            piece = os.pread(descriptor, piece_bytes, offset)
            try:
                reply = put(session(), offset=offset, piece=piece)
            except (Unreachable, Unauthorized):
                time.sleep(backoff.next_pause_s())
                continue
            except Refusal as error:
                if not is_passing(error):
                    raise
                time.sleep(backoff.next_pause_s())
                continue
            if reply.is_complete:
                return True
            if reply.received == offset:
                if not piece:
                    raise TaskFailed("system", f"{path} is shorter than it was said to be")
                time.sleep(backoff.next_pause_s())
            else:
                backoff.reset()
            offset = reply.received
        return False
    finally:
        os.close(descriptor)
