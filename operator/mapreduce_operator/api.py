"""One request to the API server: authenticated by `kubernetes.aio`, retried with jitter, answered with plain dicts.

Which requests the operator makes is `cluster`'s; here is only how one is made and when it is made again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import msgspec
from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client import ApiClient, Configuration

from mapreduce_operator import metrics

Raw = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_CONNECT_S: Final = 10.0
_CONNECTIONS: Final = 64
_NAMESPACE_GOING: Final = "NamespaceTerminating"
_TOKEN_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class ApiError(Exception):
    """The API server said no, or did not answer (status 0)."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after_s: float = 0.0, causes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status, self.reason, self.message, self.retry_after_s = status, reason, message, retry_after_s
        self.causes: Final = causes
        """Reasons of the causes that the answer lists."""

    @property
    def is_namespace_going(self) -> bool:
        """Whether nothing can be made any more, because the namespace is being deleted."""
        return self.status == 403 and (self.reason == _NAMESPACE_GOING or _NAMESPACE_GOING in self.causes)

    @property
    def is_closed(self) -> bool:
        """Whether a place may not be looked at, or is not there: its Role is gone, or the namespace itself."""
        return self.status in {403, 404}

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed soon."""
        return self.status == 0 or self.status == 429 or self.status >= 500


def is_in_cluster() -> bool:
    """Whether this process runs in a pod with a service account."""
    return _TOKEN_FILE.exists()


async def configuration() -> Configuration:
    """How the API server is reached: by the pod's service account, or else by the kubeconfig."""
    result = Configuration()
    if is_in_cluster():
        kubeconfig.load_incluster_config(client_configuration=result)  # type: ignore[no-untyped-call]
    else:
        await kubeconfig.load_kube_config(client_configuration=result)  # type: ignore[no-untyped-call]
    result.connection_pool_maxsize = _CONNECTIONS
    result.retries = False
    return result


class Api:
    """A client of one API server. Build it inside the event loop, and close it."""

    def __init__(self, configuration: Configuration, *, request_s: float) -> None:
        self._client: Final = ApiClient(configuration)
        self._client.user_agent = "mapreduce-operator"
        self._timeout: Final = aiohttp.ClientTimeout(total=request_s, connect=min(_CONNECT_S, request_s))

    async def close(self) -> None:
        """Drop all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def call(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = _JSON,
        is_conflict_passing: bool = False,
        attempts: int = _ATTEMPTS,
    ) -> Raw:
        """Make a request, again and again while it may succeed. Raises `ApiError`."""
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, attempts + 1):
            try:
                return await self._once(method, path, query, body, content_type)
            except ApiError as error:
                may_pass = error.is_passing or (error.status == 409 and is_conflict_passing)
                if not may_pass or attempt == attempts:
                    raise
                pause_s = max(error.retry_after_s, wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
            await asyncio.sleep(min(pause_s, _LONGEST_WAIT_S))
            wait_s *= 2
        raise AssertionError("the loop returns or raises")

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], limits: aiohttp.ClientTimeout) -> AsyncIterator[Lines]:
        """Open a watch. Raises `ApiError`; what it yields raises `ApiError` too, once it breaks."""
        response = await self._send("GET", path, query, None, _JSON, limits)
        try:
            yield Lines(response)
        finally:
            response.close()

    async def _once(
        self, method: Method, path: str, query: Mapping[str, str] | None, body: Raw | None, content_type: str
    ) -> Raw:
        began = time.perf_counter()
        status = 0
        try:
            response = await self._send(method, path, query, body, content_type, self._timeout)
            status = response.status
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from None
        except ApiError as error:
            status = error.status
            raise
        finally:
            metrics.API_SECONDS.labels(method=method, status=str(status)).observe(time.perf_counter() - began)
        try:
            decoded = msgspec.json.decode(data) if data else {}
        except msgspec.DecodeError as error:  # cut off on its way
            raise ApiError(0, "BadAnswer", f"The API server's answer cannot be read: {error}") from None
        return decoded if isinstance(decoded, dict) else {}

    async def _send(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Raw | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        verb, url, headers, _, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()) if query else None,
            header_params={"Accept": _JSON, "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._client.call_api(verb, url, header_params=headers, body=body, _request_timeout=limits)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 400:
                raise await _refusal(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from None
        return response


class Lines:
    """The JSON objects of a watch, one a line, however the network cuts them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response: Final = response

    async def __aiter__(self) -> AsyncIterator[Raw]:
        rest = b""
        try:
            async for chunk in self._response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield msgspec.json.decode(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from None
        except msgspec.DecodeError as error:
            raise ApiError(0, "BadAnswer", f"A watch cannot be read: {error}") from None


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    data = await response.read()
    try:
        status = msgspec.json.decode(data)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
        listed = (status.get("details") or {}).get("causes") or ()
        causes = tuple(str(one.get("reason", "")) for one in listed)
    except (msgspec.DecodeError, AttributeError, TypeError):
        reason, message, causes = "", data[:200].decode("utf-8", "replace"), ()
    try:
        retry_after_s = float(response.headers.get("Retry-After", "0"))
    except ValueError:
        retry_after_s = 0.0
    return ApiError(response.status, reason or str(response.reason), message, retry_after_s, causes)


def _unreachable(error: BaseException) -> ApiError:
    return ApiError(0, "Unreachable", f"The API server does not answer: {str(error) or type(error).__name__}")
