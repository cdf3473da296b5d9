"""Typed calls to a coordinator: those of workers, and those of the command line.

One class for each, one method for each call; sockets are `protocol.connection`, where to call is `protocol.endpoint`.
Each object keeps one connection and belongs to one thread: whoever calls from several threads makes several of them,
one for each purpose. All methods raise `Unreachable`, `Unauthorized` or `Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, Final, TypeVar
from urllib.parse import quote

import msgspec

from mapreduce.errors import Unreachable
from mapreduce.protocol.connection import DEADLINE_S, Answer, Connection, Refusal, Request, Transport, no_coordinator
from mapreduce.protocol.endpoint import Endpoint, FolderEndpoint, Role, TokenFileEndpoint, UrlEndpoint
from mapreduce.protocol.messages import (
    AttemptId,
    CoordinatorStatus,
    HeartbeatReply,
    HeartbeatRequest,
    JobDefinition,
    JobStatus,
    NextReply,
    NextRequest,
    RegisterReply,
    RegisterRequest,
    RunRef,
    RunsPage,
    StatusList,
    SubmitReply,
    SubmitRequest,
    UploadReply,
    WorkersGoneRequest,
)
from mapreduce.typed import from_json

__all__ = [
    "CoordinatorClient",
    "FolderEndpoint",
    "Refusal",
    "TokenFileEndpoint",
    "UrlEndpoint",
    "WorkerClient",
]

RUNS_PAGE: Final = 5_000
#: Header of a status: the sequence of the log that it shows.
SEQUENCE_HEADER: Final = "MapReduce-Sequence"

#: The last piece of an upload is answered when all of the file is checked and on disk.
UPLOAD_WAIT_S: Final = 120.0
_OCTETS: Final = "application/octet-stream"

T = TypeVar("T")


class _Client:
    """What both kinds of callers share."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        deadline_s: float = DEADLINE_S,
        connect: Callable[[Endpoint], Transport] = Connection,
    ) -> None:
        self._endpoint, self._deadline_s, self._connect = endpoint, deadline_s, connect
        self._connection = connect(endpoint)

    def close(self) -> None:
        """Close the connection; a later call opens another one."""
        self._connection.close()

    def address(self) -> str:
        """Where calls go now, for messages; empty when unknown."""
        try:
            return str(self._endpoint.target())
        except Unreachable:
            return ""

    def _call(self, request: Request, *, wait_s: float = 0.0) -> Answer:
        return self._connection.call(request, deadline_s=self._deadline_s + wait_s)

    def _typed(self, request: Request, type_: type[T], *, wait_s: float = 0.0) -> T:
        return self._decoded(self._call(request, wait_s=wait_s).body, type_)

    def _decoded(self, body: bytes, type_: type[T]) -> T:
        try:
            return from_json(body, type_)
        except msgspec.DecodeError as error:
            raise no_coordinator(self._endpoint, self.address(), error) from None


class WorkerClient(_Client):
    """The calls of a worker's agent. All but `register` carry the session token that `register` gave."""

    def __init__(self, endpoint: Endpoint, *, deadline_s: float = DEADLINE_S) -> None:
        self._own = Connection(endpoint)
        super().__init__(endpoint, deadline_s=deadline_s, connect=lambda _: self._own)

    def interrupt(self) -> None:
        """From another thread: a call that waits for its answer fails now, or is sent anew."""
        self._own.interrupt()

    def register(self, request: RegisterRequest) -> RegisterReply:
        """Join, or come back to a restarted coordinator with the attempts still held."""
        token = self._endpoint.token("worker")
        return self._typed(Request("POST", "/v1/register", token, _json(request)), RegisterReply)

    def next(self, session: str, request: NextRequest) -> NextReply:
        """Commit what is finished and take the next batch; waits up to `request.wait_s` for a task."""
        asked = Request("POST", "/v1/next", session, _json(request))
        return self._typed(asked, NextReply, wait_s=request.wait_s)

    def heartbeat(self, session: str, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew the lease, fetch orders."""
        return self._typed(Request("POST", "/v1/heartbeat", session, _json(request)), HeartbeatReply)

    def definition(self, session: str, job: int) -> JobDefinition:
        """What all tasks of a job share."""
        return self._typed(Request("GET", f"/v1/jobs/{job}/definition", session), JobDefinition)

    def runs(self, session: str, job: int) -> list[RunRef]:
        """All runs that reducers of a job must read now, by map index; fetched page by page."""
        found: list[RunRef] = []
        start: int | None = 0
        while start is not None:
            asked = Request("GET", f"/v1/jobs/{job}/runs?from={start}&limit={RUNS_PAGE}", session)
            page = self._typed(asked, RunsPage)
            found += page.runs
            if page.next is not None and page.next <= start:
                raise Unreachable(f"The coordinator's list of runs of job {job} goes in circles at {start}.")
            start = page.next
        return found

    def code(self, session: str, digest: str) -> bytes:
        """The code bundle of this sha256; whoever uses it checks the digest."""
        return self._call(Request("GET", f"/v1/code/{digest}", session)).body

    def put_log(self, session: str, attempt: AttemptId, text: bytes) -> None:
        """Store what an attempt printed, and its traceback."""
        path = f"/v1/jobs/{attempt.job}/attempts/{attempt.stem}/log"
        self._call(Request("PUT", path, session, text, content_type="text/plain; charset=utf-8"))

    def put_run(self, session: str, attempt: AttemptId, *, offset: int, size: int, piece: bytes) -> UploadReply:
        """Hand in the next bytes of a run's replica; `piece` may be empty, to learn where to go on."""
        return self._upload(session, "runs", attempt, offset, size, piece)

    def put_output(self, session: str, attempt: AttemptId, *, offset: int, size: int, piece: bytes) -> UploadReply:
        """Hand in the next bytes of an attempt's output, before its commit."""
        return self._upload(session, "outputs", attempt, offset, size, piece)

    def _upload(self, session: str, what: str, attempt: AttemptId, offset: int, size: int, piece: bytes) -> UploadReply:
        path = f"/v1/jobs/{attempt.job}/{what}/{attempt.stem}?offset={offset}&size={size}"
        asked = Request("PUT", path, session, piece, content_type=_OCTETS)
        return self._typed(asked, UploadReply, wait_s=UPLOAD_WAIT_S)

    def read_run(self, session: str, attempt: AttemptId, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of a run's replica, or fewer at its end."""
        return self._range(session, f"/v1/jobs/{attempt.job}/runs/{attempt.stem}", start, end)

    def read_input(self, session: str, map_: AttemptId, number: int, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of file `number` of the map's split, or fewer at the file's end."""
        return self._range(session, f"/v1/jobs/{map_.job}/maps/{map_.index}/files/{number}", start, end)

    def _range(self, session: str, path: str, start: int, end: int) -> bytes:
        asked = Request("GET", path, session, extra_headers=(("Range", f"bytes={start}-{end - 1}"),))
        return self._call(asked).body


class CoordinatorClient(_Client):
    """The calls of the command line and of local mode."""

    def submit(self, request: SubmitRequest) -> int:
        """Hand in a job whose code was put before; returns its id. Without a key not repeated: it may have arrived."""
        asked = Request("POST", "/v1/jobs", self._token("admin"), _json(request), may_repeat=bool(request.key))
        return self._typed(asked, SubmitReply).job

    def put_code(self, digest: str, bundle: bytes) -> None:
        """Store a code bundle under its sha256."""
        path, token = f"/v1/code/{digest}", self._token("admin")
        self._call(Request("PUT", path, token, bundle, content_type="application/zip"))

    def code(self, digest: str) -> bytes:
        """The code bundle of this sha256."""
        return self._call(Request("GET", f"/v1/code/{digest}", self._token("admin"))).body

    def statuses(self) -> StatusList:
        """All jobs, in order of submission."""
        return self._typed(Request("GET", "/v1/jobs", self._token("read")), StatusList)

    def status(self, job: int, *, wait_s: float = 0.0, after_sequence: int = 0) -> tuple[JobStatus, int]:
        """One job, and the log's sequence that it shows; waits up to `wait_s` for one above `after_sequence`."""
        path = f"/v1/jobs/{job}?wait_s={wait_s:g}&after_sequence={after_sequence}"
        answer = self._call(Request("GET", path, self._token("read")), wait_s=wait_s)
        sequence = answer.headers.get(SEQUENCE_HEADER, "0")
        return self._decoded(answer.body, JobStatus), int(sequence) if sequence.isdecimal() else 0

    def coordinator(self) -> CoordinatorStatus:
        """How the coordinator itself is."""
        return self._typed(Request("GET", "/v1/coordinator", self._token("read")), CoordinatorStatus)

    def workers_gone(self, request: WorkersGoneRequest) -> None:
        """Tell that workers have ended."""
        self._call(Request("POST", "/v1/workers/gone", self._token("admin"), _json(request)))

    def cancel(self, job: int) -> JobStatus:
        """End a job; ending it twice is the same."""
        return self._typed(Request("POST", f"/v1/jobs/{job}/cancel", self._token("admin"), b"{}"), JobStatus)

    def definition(self, job: int) -> JobDefinition:
        """What all tasks of a job share: its specification, its code's digest, its folders."""
        return self._typed(Request("GET", f"/v1/jobs/{job}/definition", self._token("admin")), JobDefinition)

    def logs(self, job: int, task: str) -> bytes:
        """What the attempts of a task (`map-3`) printed."""
        return self._call(Request("GET", f"/v1/jobs/{job}/logs/{quote(task, safe='')}", self._token("read"))).body

    def logged_tasks(self, job: int) -> list[str]:
        """Tasks whose attempts printed something, maps first. Only the reader of a volume answers this."""
        return self._typed(Request("GET", f"/v1/jobs/{job}/logs", self._token("read")), list[str])

    def parts(self, job: int) -> list[str]:
        """Names of the published parts, in order."""
        return self._typed(Request("GET", f"/v1/jobs/{job}/parts", self._token("read")), list[str])

    def download_part(self, job: int, name: str, into: BinaryIO) -> int:
        """Write one part to a file; returns its length in bytes."""
        path = f"/v1/jobs/{job}/parts/{quote(name, safe='')}"
        return self._connection.download(Request("GET", path, self._token("read")), into, deadline_s=self._deadline_s)

    def events(self, from_sequence: int = 0, *, silence_s: float = 60.0) -> Iterator[tuple[int, bytes]]:
        """Events from a sequence on, as (sequence, JSON), for ever; ends by raising when the coordinator goes.

        To go on after that, ask again from the last sequence seen. Uses a connection of its own.
        """
        asked = Request("GET", f"/v1/events?from={from_sequence}", self._token("read"))
        connection = self._connect(self._endpoint)
        try:
            yield from _server_sent(connection.lines(asked, silence_s=silence_s))
        finally:
            connection.close()

    def frames(self, job: int, *, silence_s: float = 60.0) -> Generator[bytes, None, None]:
        """What the page shows of a job, as JSON: the whole state first, then what changes, for ever.

        Uses a connection of its own.
        """
        asked = Request("GET", f"/v1/jobs/{job}/frames", self._token("read"))
        connection = self._connect(self._endpoint)
        try:
            for _, data in _server_sent(connection.lines(asked, silence_s=silence_s)):
                yield data
        finally:
            connection.close()

    def timeline(self, job: int, start: int) -> bytes:
        """A window of a job's attempts and outputs, as JSON."""
        return self._call(Request("GET", f"/v1/jobs/{job}/timeline?from={start}", self._token("read"))).body

    def page_ticket(self) -> str:
        """A ticket for one browser, good once. Refused where the page is not served."""
        asked = Request("POST", "/v1/tickets", self._token("read"), b"{}", may_repeat=False)
        return str(self._typed(asked, dict[str, str])["ticket"])

    def _token(self, role: Role) -> str:
        return self._endpoint.token(role)


def _json(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message)


def _server_sent(lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Events of a `text/event-stream`; comments, event names and unknown fields are left out."""
    sequence = 0
    data: list[bytes] = []
    for line in lines:
        if not line:
            if data:
                yield sequence, b"\n".join(data)
            data = []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"id" and value.isdigit():
            sequence = int(value)
