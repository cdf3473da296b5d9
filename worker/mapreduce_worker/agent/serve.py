"""Serves this worker's runs to other workers (Peer shuffle): whole files or ranges, to callers of the same coordinator.

The socket listens from the start, so that its address can be registered; the server behind it starts with the first job
that needs one, or at once where the port was chosen: there somebody asks `/livez`, which needs no token. Names are
matched against the one form that they have, never joined into paths as they come.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from mapreduce.errors import MapReduceError
from mapreduce.protocol.sessions import is_peer

_PATH: Final = re.compile(r"/runs/([0-9]{1,17})/(map-[0-9]{5,9}\.e[0-9]{1,17}\.a[0-9]{1,5})\.run")
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")
#: A caller that takes nothing for so long is given up.
STALL_S: Final = 60.0
#: A caller that asks for nothing for so long makes room for others; it may connect again.
IDLE_S: Final = 5.0
_MAX_CONNECTIONS: Final = 256
_PAUSE_S: Final = 0.1


class RunServer:
    """A listening socket, and once `start` was called, threads that answer it."""

    def __init__(
        self, host: str, port: int, folder: Path, worker_secret: Callable[[], str], is_alive: Callable[[], bool]
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._folder, self._worker_secret, self._known_secret = folder, worker_secret, ""
        self.is_alive = is_alive
        self._has_started = False
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        """Answer requests from now on; starting twice is the same."""
        if not self._has_started:
            self._has_started = True
            threading.Thread(target=self._serve, name="serve", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self) -> None:
        room = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        while True:
            room.acquire()  # who comes beyond it waits in the listener's backlog: to be sent away reads as a lost run
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return
                room.release()
                time.sleep(_PAUSE_S)  # no descriptor is free just now
                continue
            threading.Thread(target=self._answer, args=(connection, room), name="served", daemon=True).start()

    def _answer(self, connection: socket.socket, room: threading.BoundedSemaphore) -> None:
        from mapreduce_worker.agent.servehandler import RunHandler

        try:
            RunHandler(connection, self)
        except OSError:
            return  # the caller has gone; it asks again if it wants to
        finally:
            connection.close()
            room.release()

    def is_allowed(self, authorization: str) -> bool:
        """Whether the caller belongs to the same coordinator."""
        scheme, _, token = authorization.partition(" ")
        secret = self._secret()
        return bool(secret) and is_peer(token.strip(), secret, time.time()) and scheme.lower() == "bearer"

    def _secret(self) -> str:
        """The secret that all workers of the coordinator share; while it is away the one that was good before.

        Readers who know what to fetch go on meanwhile, and would take a refusal for a lost run.
        """
        with contextlib.suppress(MapReduceError):
            self._known_secret = self._worker_secret()
        return self._known_secret

    def open(self, path: str) -> BinaryIO | None:
        """The run that a request's path names, if it is here."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        try:
            return (self._folder / found[1] / f"{found[2]}.run").open("rb")
        except OSError:
            return None


def parse_range(text: str | None, size: int) -> tuple[int, int] | None:
    """The bytes asked for as (start, end), within `size`; None when they cannot be given. No range: all of them."""
    if text is None:
        return 0, size
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    start, end = int(found[1]), min(int(found[2]) + 1, size)
    return (start, end) if start < end else None
