"""The coordinator of a MapReduceJob, called through the API server's service proxy with the token of its Secret.

What may be asked is `protocol.client`'s, the same as for a coordinator of this machine. The proxy eats Authorization,
so the token travels in a header of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Final
from urllib.parse import quote

import msgspec

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.connection import DEADLINE_S, Refusal, Request
from mapreduce.protocol.connection import Answer as WholeAnswer
from mapreduce.protocol.endpoint import Endpoint, Role, Target
from mapreduce.protocol.messages import ErrorReply
from mapreduce.typed import from_json
from mapreduce_cli.cluster import access
from mapreduce_cli.cluster.access import Cluster
from mapreduce_cli.cluster.jobs import ClusterJob, Jobs
from mapreduce_operator.naming import Names

TOKEN_HEADER: Final = "X-MapReduce-Token"  # noqa: S105 - a header's name
#: A coordinator has one job.
JOB_NUMBER: Final = 1
_MOST_ERROR_BYTES: Final = 1 << 16


class CoordinatorGone(Unreachable):
    """The job has no coordinator (any more): it was never started, is suspended, or its time to live is over."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem


class SecretEndpoint:
    """One coordinator's place behind the API server; tokens are read from the job's Secret when first needed."""

    def __init__(self, jobs: Jobs, job: ClusterJob) -> None:
        self._jobs, self._job, self._names = jobs, job, names_of(job)
        self._tokens: dict[str, str] = {}
        self.lost_calls = 0

    @property
    def path(self) -> str:
        """Path of the coordinator at the API server, without a final slash."""
        namespace = quote(self._jobs.cluster.namespace)
        return f"/api/v1/namespaces/{namespace}/services/{self._names.coordinator}:http/proxy"

    def target(self) -> Target:
        """For messages only: where the API server is."""
        from mapreduce.protocol.endpoint import parse_url

        return parse_url(self._jobs.cluster.host.rstrip("/") + self.path)

    def token(self, role: Role) -> str:
        """The admin's token, or for reading the one that is good for that only."""
        if not self._tokens:
            secret = self._names.admin_secret
            try:
                self._tokens = self._jobs.secret(secret)
            except access.ApiRefusal as refusal:
                if refusal.status == 404:
                    problem = f"Secret {secret} is gone, and the coordinator with it"
                    raise CoordinatorGone(problem, _remedy(self._jobs, self._job)) from None
                raise
        found = (self._tokens.get("read") if role == "read" else None) or self._tokens.get("token")
        if not found:
            raise Unauthorized(f"the job's Secret holds no token that is good for {role}")
        return found

    def forget(self) -> None:
        """Read the Secret again before the next call."""
        self._tokens = {}
        self.lost_calls += 1


class ProxyTransport:
    """Requests to one coordinator by way of the API server."""

    def __init__(self, cluster: Cluster, path: str, *, token_header: str = TOKEN_HEADER, remedy: str = "") -> None:
        """`remedy` is what to do where nobody answers, if that is known."""
        self._cluster, self._path, self._token_header, self._remedy = cluster, path, token_header, remedy

    def call(self, request: Request, *, deadline_s: float = DEADLINE_S) -> WholeAnswer:
        """Send the request and return the whole answer."""
        with self._answered(request, deadline_s) as answer:
            _check(answer, self._cluster, self._remedy)
            return WholeAnswer(answer.read(), answer.headers)

    def download(self, request: Request, into: BinaryIO, *, deadline_s: float = DEADLINE_S) -> int:
        """Send the request and write the answer's body to a file; returns its length."""
        with self._answered(request, deadline_s) as answer:
            _check(answer, self._cluster, self._remedy)
            written = 0
            for piece in answer.pieces():
                into.write(piece)
                written += len(piece)
            length = answer.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) != written:
                raise Unreachable(f"the download broke off after {written} of {length} bytes; try again")
            return written

    def lines(self, request: Request, *, silence_s: float) -> Iterator[bytes]:
        """Lines of an answer that has no end."""
        with self._answered(request, silence_s) as answer:
            _check(answer, self._cluster, self._remedy)
            for line in answer.lines():
                yield line.rstrip(b"\r")
        raise Unreachable("the stream has ended")

    def close(self) -> None:
        """Connections are the cluster's."""

    def _answered(self, request: Request, deadline_s: float) -> AbstractContextManager[access.Answer]:
        headers = {"Content-Type": request.content_type} if request.body is not None else {}
        if request.token:
            headers[self._token_header] = request.token
        return self._cluster.stream(
            request.method, self._path + request.path, body=request.body, headers=headers, deadline_s=deadline_s
        )


def coordinator_client(jobs: Jobs, job: ClusterJob) -> CoordinatorClient:
    """A client for the coordinator of a job; nothing is sent yet."""
    endpoint = SecretEndpoint(jobs, job)

    def connect(_: Endpoint) -> ProxyTransport:
        return ProxyTransport(jobs.cluster, endpoint.path, remedy=_remedy(jobs, job))

    return CoordinatorClient(endpoint, connect=connect)


def names_of(job: ClusterJob) -> Names:
    """Names of the children of a job."""
    return Names(job.name, job.uid)


def _remedy(jobs: Jobs, job: ClusterJob) -> str:
    """What to do where no coordinator answers, by the state of its job."""
    name = f"{job.name}{jobs.cluster.address.options}"
    if job.is_true("Suspended") and not job.is_finished:
        return f"job '{job.name}' is suspended: `mr resume {name}` goes on with it"
    is_over = "how it ended" if job.is_finished else "what it waits for"
    return f"job '{job.name}' is {job.status.state or 'Pending'}: `mr why {name}` says {is_over}"


def _check(answer: access.Answer, cluster: Cluster, remedy: str) -> None:
    """Raise what an answer of 400 and above is: the API server's own, or the coordinator's."""
    if answer.status < 400:
        return
    body = answer.read(_MOST_ERROR_BYTES)
    try:
        raw = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raw = None
    if isinstance(raw, dict) and raw.get("kind") == "Status":
        raise _of_the_api_server(answer.status, raw, cluster, remedy)
    try:
        said = from_json(body, ErrorReply)
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace").strip()[:300]
        if answer.status >= 500:  # the proxy's words for a pod that does not answer
            raise CoordinatorGone(f"the coordinator does not answer: {text}", remedy) from None
        said = ErrorReply(code=f"http-{answer.status}", message=text or f"it answered {answer.status}")
    if answer.status in {401, 403}:
        raise Unauthorized(said.message)
    raise Refusal(answer.status, said.code, said.message, said.epoch)


def _of_the_api_server(status: int, said: dict[str, object], cluster: Cluster, remedy: str) -> MapReduceError:
    message = str(said.get("message", ""))
    if status == 404 or status >= 500:
        return CoordinatorGone(f"the coordinator does not answer: {message}", remedy)
    if status in {401, 403}:
        return Unauthorized(
            f"you may not call the coordinator through the API server: {message}; `{cluster.doctor}` says more"
        )
    return access.ApiRefusal(status, str(said.get("reason", "")), f"{cluster.host}: {message}")
