"""Calls to an API server as a kubeconfig says: plain dictionaries in and out, bytes of proxied services as a stream.

The only place of the command line that imports `kubernetes`, and only for what is hard: reading kubeconfigs, client
certificates, tokens that a program hands out. What the objects mean is `jobs`; nothing here knows a MapReduceJob.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable, UsageError

DEADLINE_S: Final = 30.0
_MOST_ERROR_BYTES: Final = 1 << 16
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_INSTALL: Final = "this command talks to a cluster and needs the Kubernetes client: pip install 'kubernetes>=36'"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """What the command line says about the cluster; None is what the kubeconfig says."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None

    @property
    def options(self) -> str:
        """The same as options, with a space before each, for commands that messages tell people to type."""
        given = (("-n", self.namespace), ("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return "".join(f" {option} {shlex.quote(str(value))}" for option, value in given if value is not None)


class ApiRefusal(MapReduceError):
    """The API server answered, and the answer is no: `reason` is the word of its Status (NotFound, Conflict, ...)."""

    exit_code = 2

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Answer:
    """One answer whose body is still to be read: by `read`, or piece by piece."""

    def __init__(self, response: Any) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self._response.status)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whose names are found in any spelling."""
        return self._response.headers  # type: ignore[no-any-return]

    def read(self, most_bytes: int | None = None) -> bytes:
        """The body, or its first bytes."""
        return bytes(self._response.read(most_bytes))

    def pieces(self, size: int = 1 << 18) -> Iterator[bytes]:
        """The body as it comes."""
        yield from self._response.stream(size)

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they come, without their ends."""
        rest = b""
        for piece in self._response.stream(1 << 14):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest


class Cluster:
    """One API server, as one person sees it."""

    def __init__(self, api: Any, *, namespace: str, address: ClusterAddress, deadline_s: float = DEADLINE_S) -> None:
        self._api, self.namespace, self.address, self._deadline_s = api, namespace, address, deadline_s

    @property
    def host(self) -> str:
        """The API server's URL, for messages."""
        return str(self._api.configuration.host)

    @property
    def doctor(self) -> str:
        """The command that checks this cluster. It always names the namespace: with no option it means this machine."""
        return f"mr doctor{replace(self.address, namespace=self.namespace).options}"

    def get(self, path: str, **query: str) -> Json:
        """One object, or one list of them."""
        return self.call("GET", path, query=query)

    def create(self, path: str, body: Json) -> Json:
        """Create one object."""
        return self.call("POST", path, body=body)

    def merge(self, path: str, body: Json) -> Json:
        """Change the fields given."""
        return self.call("PATCH", path, body=body, content_type="application/merge-patch+json")

    def delete(self, path: str, **options: Any) -> None:
        """Delete one object; one that is gone already is no error."""
        try:
            self.call("DELETE", path, body={"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except ApiRefusal as refusal:
            if refusal.status != 404:
                raise

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """One call with JSON in and out. Raises ApiRefusal, Unauthorized, Unreachable."""
        data = None if body is None else json.dumps(body).encode()
        with self.stream(method, path, query=query, body=data, headers={"Content-Type": content_type}) as answer:
            if answer.status >= 400:
                raise refusal_of(answer, self)
            text = answer.read()
        found = json.loads(text) if text else {}
        assert isinstance(found, dict), "the API server answers with objects"
        return found

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Iterator[Answer]:
        """One call whose answer is read by the caller, whatever its status. `deadline_s` is for each wait for bytes."""
        import urllib3

        wait_s = self._deadline_s if deadline_s is None else deadline_s
        sent = {"Accept": "application/json, */*", **(headers or {})}
        self._api.update_params_for_auth(sent, [], ["BearerToken"], path, method, body)
        url = self.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._api.rest_client.pool_manager.request(
                method,
                url,
                body=body,
                headers=sent,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(wait_s, 10.0), read=wait_s),
            )
            try:
                yield Answer(response)
            finally:
                response.drain_conn() if response.length_remaining == 0 else response.close()
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the API server at {self.host} does not answer: {_in_short(error)}") from error


def connect(address: ClusterAddress, *, deadline_s: float = DEADLINE_S) -> Cluster:
    """The cluster that the address means; nothing is sent yet.

    Raises UsageError: the client is not installed, the kubeconfig or the context does not exist.
    """
    try:
        from kubernetes import client, config
    except ImportError:
        raise UsageError(_INSTALL) from None
    load: Any = config  # it has no types
    configuration = client.Configuration()
    if address.kubeconfig is not None and not address.kubeconfig.is_file():
        raise UsageError(f"--kubeconfig {address.kubeconfig}: there is no such file")
    if address == ClusterAddress(address.namespace) and not has_kubeconfig() and _SERVICE_ACCOUNT.is_dir():
        load.load_incluster_config(client_configuration=configuration)
        namespace = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
    else:
        path = str(address.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        try:
            load.load_kube_config(config_file=path, context=address.context, client_configuration=configuration)
            contexts, current = load.list_kube_config_contexts(config_file=path)
        except config.ConfigException as error:
            raise UsageError(f"{_where(address)}: {error}") from None
        chosen = next((entry for entry in contexts if entry["name"] == address.context), current)
        namespace = chosen["context"].get("namespace", "") or "default"
    return Cluster(
        client.ApiClient(configuration),
        namespace=address.namespace or namespace,
        address=address,
        deadline_s=deadline_s,
    )


def has_kubeconfig() -> bool:
    """A kubeconfig is where kubectl would look for one."""
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(entry) for entry in named.split(os.pathsep) if entry] or [Path.home() / ".kube" / "config"]
    return any(path.is_file() for path in paths)


def refusal_of(answer: Answer, cluster: Cluster) -> MapReduceError:
    """The error that an answer of 400 and above of the API server itself is."""
    host, body = cluster.host, answer.read(_MOST_ERROR_BYTES)
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("kind") != "Status":
        said = {"message": body.decode("utf-8", "replace").strip()[:500] or f"it answered {answer.status}"}
    message, reason = str(said.get("message", "")), str(said.get("reason", ""))
    if answer.status == 401:
        return Unauthorized(f"the API server at {host} does not know you: {message}; check the kubeconfig's user")
    if answer.status == 403:
        return Unauthorized(f"you may not do this: {message}; `{cluster.doctor}` lists what is needed")
    if answer.status in {500, 502, 503, 504}:
        return Unreachable(f"the API server at {host} cannot do this now: {message}")
    return ApiRefusal(answer.status, reason, message)


def _where(address: ClusterAddress) -> str:
    if address.kubeconfig is not None:
        return f"--kubeconfig {address.kubeconfig}"
    return f"the kubeconfig ({os.environ.get('KUBECONFIG') or '~/.kube/config'})"


def _in_short(error: Exception) -> str:
    """An error of urllib3 without the object addresses that it prints."""
    text = str(getattr(error, "reason", None) or error)
    return text.partition(">: ")[2] or text
