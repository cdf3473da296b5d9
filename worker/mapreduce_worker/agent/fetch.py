"""Fetches runs from the workers that made them (Peer shuffle): header, index and one partition of each, to local files.

What a worker does not give any more the coordinator may have a replica of; only what neither has is lost.

A fetched file has the size and layout of the run, but is sparse: only what the reduce task reads is there, so the same
reader checks and reads it. A few streams at once, straight to disk. Which runs to fetch is the coordinator's word.

A run is reported lost for what its worker says or does not say. What goes wrong here (a full disk, no descriptor left)
is this worker's own trouble, `FetchFailed`, and says nothing about the run.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from mapreduce.dataplane import runs as layout
from mapreduce.errors import MapReduceError, Unauthorized
from mapreduce.protocol.client import Refusal, WorkerClient
from mapreduce.protocol.messages import NOBODY_SERVES, AttemptId, LostRun, RunRef
from mapreduce_worker.agent.jobs import RunsLost
from mapreduce_worker.executor.messages import Source

STREAMS: Final = 4
_DEADLINE_S: Final = 30.0
_CONNECT_S: Final = 5.0
_PIECE_BYTES: Final = 4 << 20
_CHUNK_BYTES: Final = 1 << 18
#: Bytes of a run's end that are asked for first; most indexes are shorter.
_TAIL_BYTES: Final = 64 << 10
#: Of a connection: who wants to open it is at fault, and not who does not answer.
_OWN_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def fetch_runs(
    runs: Sequence[RunRef],
    partition: int,
    *,
    into: Path,
    own: Path,
    token: str,
    replicas: Callable[[], Copier],
    streams: int = STREAMS,
) -> tuple[Source, ...]:
    """Local files for all `runs`, each holding at least `partition`.

    Raises `RunsLost`, `FetchFailed`, what `replicas` raises, and `Unauthorized` while this worker is not joined: others
    would refuse it, and their refusal would read as lost runs.

    Args:
        runs: what to read, with the URL of each.
        partition: the reduce task's number.
        into: folder to make the files in.
        own: folder of the runs that this worker serves itself; those are not copied.
        token: session token to show to the other workers; empty while not joined.
        replicas: makes, for each stream, what reads replicas from the coordinator.
        streams: how many to fetch at once.
    """
    into.mkdir(parents=True, exist_ok=True)
    sources: dict[AttemptId, Source] = {}
    waiting: list[RunRef] = []
    for run in runs:
        path = own / f"{run.map.stem}.run"
        if path.is_file() and not run.url.startswith(NOBODY_SERVES):
            sources[run.map] = Source(map=run.map, path=str(path), digest=run.digest)
        else:
            waiting.append(run)
    if waiting and not token:
        raise Unauthorized("This worker is not joined just now.")
    lost: list[LostRun] = []
    failed: list[MapReduceError] = []
    silent: set[str] = set()
    queue = iter(waiting)
    lock = threading.Lock()

    def stream() -> None:
        with contextlib.closing(_Peers(token, silent)) as peers, contextlib.closing(replicas()) as kept:
            while True:
                with lock:
                    run = next(queue, None)
                if run is None or failed:
                    return
                path = into / f"{run.map.stem}.run"
                try:
                    problem = _fetched(peers, run, partition, path)
                    if problem and run.has_replica:
                        problem = _fetched(kept, run, partition, path)
                except MapReduceError as error:
                    failed.append(error)
                    return
                with lock:
                    if problem:
                        lost.append(LostRun(map=run.map, problem=problem[:1_000]))
                    else:
                        sources[run.map] = Source(map=run.map, path=str(path), digest=run.digest)

    threads = [threading.Thread(target=stream, name="fetch", daemon=True) for _ in range(min(streams, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    if lost:
        raise RunsLost(sorted(lost, key=lambda entry: entry.map.index))
    return tuple(sources[run.map] for run in runs)


class FetchFailed(MapReduceError):
    """This worker lacks what it takes to fetch anything: room on its disk, a descriptor, memory."""


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}. Look at this worker's disk and limits."
        raise FetchFailed(problem) from error


class Target:
    """The file that a run is fetched into. Every call raises `FetchFailed`, and never `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _on_disk(path):
            self._file = path.open("w+b", buffering=0)

    def resize(self, size: int) -> None:
        """Make it `size` bytes long, without bytes of its own."""
        with _on_disk(self._path):
            self._file.truncate(size)

    def write(self, start: int, content: bytes) -> None:
        """Put `content` at `start`."""
        with _on_disk(self._path):
            self._file.seek(start)
            while content:
                content = content[self._file.write(content) :]

    def read(self, start: int, end: int) -> bytes:
        """What was written from `start` up to `end`."""
        with _on_disk(self._path):
            self._file.seek(start)
            return self._file.read(end - start)

    def close(self) -> None:
        """Close the file."""
        with _on_disk(self._path):
            self._file.close()


class Copier(Protocol):
    """Whoever has runs."""

    def copy(self, run: RunRef, start: int, end: int, file: Target) -> None:
        """Copy the bytes from `start` up to `end` of the run to the same place in `file`.

        Raises `OSError`, `HTTPException` and `ValueError` when it does not have them.
        """

    def close(self) -> None:
        """Close all connections."""


def _fetched(peers: Copier, run: RunRef, partition: int, path: Path) -> str:
    """Fetch one run into `path`; returns the problem, or ""."""
    try:
        with contextlib.closing(Target(path)) as file:
            _fetch(peers, run, partition, file)
    except http.client.HTTPException as error:
        return f"its worker broke off: {str(error) or type(error).__name__}"
    except OSError as error:
        if error.errno in _OWN_ERRNOS:
            raise FetchFailed(f"a connection cannot be opened: {error}. Look at this worker's limits.") from error
        return f"its worker does not answer: {error.strerror or error}"
    except ValueError as error:
        return str(error)
    return ""


def _fetch(peers: Copier, run: RunRef, partition: int, file: Target) -> None:
    size = run.bytes
    if size < layout.HEADER_BYTES + layout.TRAILER_BYTES:
        raise ValueError("it is cut short")
    file.resize(size)
    tail_start = max(0, size - _TAIL_BYTES)
    peers.copy(run, tail_start, size, file)
    index_start, _ = layout.unpack_trailer(file.read(size - layout.TRAILER_BYTES, size), size)
    if index_start < tail_start:
        peers.copy(run, index_start, tail_start, file)
    if tail_start:
        peers.copy(run, 0, min(layout.HEADER_BYTES, tail_start), file)
    _, partitions = layout.unpack_header(file.read(0, layout.HEADER_BYTES))
    entries = layout.unpack_index(file.read(index_start, size), index_start, partitions)
    if layout.run_digest(entries) != run.digest:
        raise ValueError("its content is not what was committed")
    for entry in entries:
        end = min(entry.offset + entry.bytes, tail_start)
        if entry.partition == partition and entry.offset < end:
            peers.copy(run, entry.offset, end, file)


class _Peers:
    """Kept-alive connections of one stream to other workers.

    `silent` are those that did not let anybody connect: they are not waited for again, once for each of their runs.
    """

    def __init__(self, token: str, silent: set[str]) -> None:
        self._token, self._silent = token, silent
        self._open: dict[str, http.client.HTTPConnection] = {}

    def copy(self, run: RunRef, start: int, end: int, file: Target) -> None:
        """Copy the bytes from `start` up to `end` of the run to the same place in `file`."""
        parts = urlsplit(run.url)
        if parts.netloc in self._silent:
            raise ConnectionRefusedError("connections to it failed before")
        headers = {"Authorization": f"Bearer {self._token}", "Range": f"bytes={start}-{end - 1}"}
        for is_last_try in (False, True):
            connection = self._open.get(parts.netloc)
            is_fresh = connection is None
            try:
                if connection is None:
                    connection = self._open[parts.netloc] = self._connected(parts.netloc)
                connection.request("GET", parts.path, headers=headers)
                self._receive(connection.getresponse(), start, end, file)
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    self._open.pop(parts.netloc).close()
                if is_fresh or is_last_try:
                    raise
            else:
                return

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            connection.close()

    def _connected(self, netloc: str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(netloc, timeout=_CONNECT_S)
        try:
            connection.connect()
        except OSError as error:
            if error.errno not in _OWN_ERRNOS:
                self._silent.add(netloc)
            raise
        connection.sock.settimeout(_DEADLINE_S)
        return connection

    @staticmethod
    def _receive(answer: http.client.HTTPResponse, start: int, end: int, file: Target) -> None:
        if answer.status != 206:
            answer.read()
            raise ValueError(f"its worker says {answer.status} {answer.reason}")
        while start < end:
            chunk = answer.read(min(_CHUNK_BYTES, end - start))
            if not chunk:
                raise http.client.IncompleteRead(b"", end - start)
            file.write(start, chunk)
            start += len(chunk)
        answer.read()


class Replicas:
    """Replicas of runs, at the coordinator. Raises what the client raises when it does not answer."""

    def __init__(self, client: WorkerClient, session: Callable[[], str]) -> None:
        self._client, self._session = client, session

    def copy(self, run: RunRef, start: int, end: int, file: Target) -> None:
        """Copy the bytes from `start` up to `end` of the run to the same place in `file`."""
        while start < end:
            try:
                piece = self._client.read_run(self._session(), run.map, start, min(start + _PIECE_BYTES, end))
            except Refusal as error:
                if error.status not in {404, 416}:
                    raise
                raise ValueError(f"neither its worker nor the coordinator has it: {error.message}") from None
            if not piece:
                raise ValueError("its replica is cut short")
            file.write(start, piece)
            start += len(piece)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
