"""An API server of a few lines for tests of the command line: it keeps objects, tells changes, forwards to proxies.

Standard library only, in threads of the test's process. It checks nothing (the tier `api` asks a real one for that); it
can lose an answer, refuse a call, and forwards what goes to a service's or a pod's proxy, as the real one without
`Authorization`, to whatever the test puts there.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
JOBS = "/apis/mapreduce.dev/v1alpha1/namespaces/{namespace}/mapreducejobs"
#: What a watch tells before its client gives up on a silent server.
_LONGEST_WATCH_S = 30.0


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeCluster:
    """The server's memory. What a test changes from outside goes through `put`, `change` and `remove`."""

    url: str = ""
    objects: dict[str, Json] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    proxies: dict[str, str] = field(default_factory=dict)
    """Path at the API server up to `/proxy` -> URL that answers there."""
    texts: dict[str, str] = field(default_factory=dict)
    """Answers as they are, by path: logs."""
    refusals: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """(method, path) -> (status, reason)."""
    lost_answers: int = 0
    """So many creations are carried out and not answered."""
    on_create: Callable[[str, Json], None] = lambda path, body: None
    changed: threading.Condition = field(default_factory=threading.Condition)
    version: int = 0

    def put(self, path: str, body: Json) -> Json:
        """Keep an object."""
        with self.changed:
            self.version += 1
            self.objects[path] = body
            body.setdefault("metadata", {})["resourceVersion"] = str(self.version)
            self.changed.notify_all()
        return body

    def job(
        self, name: str, namespace: str = "team-a", *, status: Json | None = None, spec: Json | None = None
    ) -> Json:
        """Keep a MapReduceJob."""
        metadata = {
            "name": name,
            "namespace": namespace,
            "uid": f"{name:x<8}"[:8] + "-0000",
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        }
        made = {
            "apiVersion": "mapreduce.dev/v1alpha1",
            "kind": "MapReduceJob",
            "metadata": metadata,
            "spec": {"output": {"uri": f"pvc://results/{name}"}, **(spec or {})},
            "status": status or {},
        }
        return self.put(f"{JOBS.format(namespace=namespace)}/{name}", made)

    def status(self, name: str, namespace: str = "team-a", **fields: Any) -> None:
        """Change a job's status, as the operator would."""
        path = f"{JOBS.format(namespace=namespace)}/{name}"
        current = self.objects[path]
        self.put(path, {**current, "status": {**current.get("status", {}), **fields}})

    def remove(self, path: str) -> bool:
        """Forget an object."""
        with self.changed:
            self.version += 1
            found = self.objects.pop(path, None) is not None
            self.changed.notify_all()
        return found

    def methods(self) -> list[tuple[str, str]]:
        """Method and path of all requests so far."""
        return [(one.method, one.path) for one in self.asked]

    def kubeconfig(self, folder: Path, *, namespace: str = "default") -> Path:
        """A kubeconfig that leads here."""
        path = folder / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "of-the-user"}}],
            "contexts": [
                {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": namespace}},
                {"name": "elsewhere", "context": {"cluster": "c", "user": "u", "namespace": "other"}},
            ],
        }
        path.write_text(yaml.safe_dump(content))
        return path


@contextlib.contextmanager
def fake_cluster() -> Iterator[FakeCluster]:
    """The server, until the block is left."""
    cluster = FakeCluster()

    class Bound(_Handler):
        memory = cluster

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        with cluster.changed:
            cluster.changed.notify_all()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    memory: FakeCluster

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(method, parts.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
        self.memory.asked.append(asked)
        if (refusal := self.memory.refusals.get((method, parts.path))) is not None:
            self._refuse(*refusal)
        elif "/proxy" in parts.path:
            self._forward(asked, parts.query)
        elif parts.path in self.memory.texts:
            self._send(200, self.memory.texts[parts.path].encode(), "text/plain")
        elif method == "GET" and query.get("watch") == "true":
            self._watch(parts.path, query)
        else:
            self._object(asked)

    def _object(self, asked: Asked) -> None:
        memory, path = self.memory, asked.path
        match asked.method:
            case "GET" if path in memory.objects:
                self._json(200, memory.objects[path])
            case "GET" if _is_collection(path):
                self._json(200, {"kind": "List", "metadata": {}, "items": _listed(memory.objects, path)})
            case "POST" if path.endswith("/selfsubjectaccessreviews"):
                self._json(201, {"status": {"allowed": True}})
            case "POST":
                self._create(path, json.loads(asked.body))
            case "PATCH" if path.removesuffix("/scale") in memory.objects:
                current = memory.objects[path.removesuffix("/scale")]
                change = json.loads(asked.body)
                if path.endswith("/scale"):
                    change = {"spec": {"workers": {"replicas": change["spec"]["replicas"]}}}
                self._json(200, memory.put(path.removesuffix("/scale"), _merged(current, change)))
            case "DELETE" if memory.remove(path):
                self._json(200, {"kind": "Status", "status": "Success"})
            case _:
                self._refuse(404, "NotFound")

    def _create(self, collection: str, body: Json) -> None:
        memory, path = self.memory, f"{collection}/{body['metadata']['name']}"
        if path in memory.objects:
            self._refuse(409, "AlreadyExists")
            return
        body["metadata"].setdefault("uid", "12345678-0000")
        body["metadata"].setdefault("creationTimestamp", "2026-01-02T03:04:05Z")
        memory.put(path, body)
        memory.on_create(path, body)
        if memory.lost_answers:
            memory.lost_answers -= 1
            self.close_connection = True
            return
        self._json(201, body)

    def _watch(self, collection: str, query: dict[str, str]) -> None:
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        path, memory = f"{collection}/{name}", self.memory
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deadline_s = time.monotonic() + min(float(query.get("timeoutSeconds", "5")), _LONGEST_WATCH_S)
        seen, was_there = "", False
        with contextlib.suppress(OSError):
            while (left_s := deadline_s - time.monotonic()) > 0:
                with memory.changed:
                    current = memory.objects.get(path)
                    version = current["metadata"]["resourceVersion"] if current is not None else ""
                    if version == seen and (current is not None or not was_there):
                        memory.changed.wait(left_s)
                        continue
                kind = "DELETED" if current is None else "MODIFIED" if was_there else "ADDED"
                seen, was_there = version, current is not None
                self._chunk(json.dumps({"type": kind, "object": current or {}}).encode() + b"\n")
            self._chunk(b"")

    def _forward(self, asked: Asked, query: str) -> None:
        at, _, rest = asked.path.partition("/proxy")
        target = self.memory.proxies.get(at)
        if target is None:
            self._refuse(503, "ServiceUnavailable")
            return
        parts = urlsplit(target)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        dropped = {"authorization", "host", "connection", "content-length", "accept-encoding"}
        headers = {name: value for name, value in asked.headers.items() if name not in dropped}
        try:
            upstream.request(
                asked.method, rest + (f"?{query}" if query else ""), body=asked.body or None, headers=headers
            )
            answer = upstream.getresponse()
        except OSError:
            self._refuse(502, "BadGateway")
            return
        self.send_response(answer.status)
        for name in ("Content-Type", "MapReduce-Sequence"):
            if value := answer.headers.get(name):
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            while piece := answer.read1(1 << 16):
                self._chunk(piece)
            self._chunk(b"")
        upstream.close()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _refuse(self, status: int, reason: str) -> None:
        message = f"{reason} says the fake API server"
        self._json(
            status, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
        )

    def _json(self, status: int, body: Json) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_collection(path: str) -> bool:
    last = path.rpartition("/")[2]
    return last.endswith("s") and "status" not in last


def _listed(objects: dict[str, Json], path: str) -> list[Json]:
    """Objects directly below a collection's path, or of all namespaces."""
    group, _, kind = path.rpartition("/")
    return [
        found
        for place, found in sorted(objects.items())
        if place.rpartition("/")[0] == path
        or ("/namespaces/" not in path and place.startswith(group) and place.split("/")[-2] == kind)
    ]


def _merged(current: Any, change: Any) -> Any:
    if not isinstance(current, dict) or not isinstance(change, dict):
        return change
    merged = {**current, **{name: _merged(current.get(name), value) for name, value in change.items()}}
    return {name: value for name, value in merged.items() if value is not None}
