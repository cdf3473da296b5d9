"""One good request for each call of the protocol, to be sent as it is or spoilt."""

from __future__ import annotations

import hashlib
from typing import Any

from mapreduce.protocol.wire import encode
from tests.support.fakeservice import ATTEMPT, PART

BUNDLE = b"a zip file, for all that the coordinator knows"
DIGEST = hashlib.sha256(BUNDLE).hexdigest()

ID: dict[str, Any] = {"job": 1, "kind": "map", "index": 3, "attempt": 1, "epoch": 1}
SPEAKER: dict[str, Any] = {"epoch": 1, "worker": "worker-a"}
OUTPUT: dict[str, Any] = {"bytes": 10, "records": 2, "digest": 5, "has_file": True, "partitions": [[0, 10, 2]]}
FAILURE: dict[str, Any] = {"failure_class": "user", "message": "ValueError: no"}

#: JSON bodies by call.
JSON_BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/register": {"worker": "worker-a", "slots": 2, "protocol": 1, "held": [ID]},
    "POST /v1/next": {**SPEAKER, "call": 1, "want": 1, "finished": [{"type": "commit", "id": ID, "output": OUTPUT}]},
    "POST /v1/heartbeat": {**SPEAKER, "running": [ID]},
    "POST /v1/get-task": {**SPEAKER, "call": 2},
    "POST /v1/commit": {**SPEAKER, "call": 3, "id": ID, "output": OUTPUT},
    "POST /v1/fail": {**SPEAKER, "call": 4, "id": ID, "failure": FAILURE},
    "POST /v1/release": {**SPEAKER, "call": 5, "id": ID},
    "POST /v1/ticket": {"ticket": "a-ticket-that-was-used-before"},
    "POST /v1/workers/gone": {"workers": ["worker-a"], "is_charged": False, "reason": "node drained"},
    "POST /v1/jobs": {
        "name": "words",
        "spec": {"code": {}, "inputs": [{"uri": "in"}], "output": {"uri": "out"}},
        "code": DIGEST,
    },
}

#: Bodies of bytes by call.
BYTE_BODIES: dict[str, bytes] = {
    "PUT /v1/code/{digest}": BUNDLE,
    "PUT /v1/jobs/{job}/attempts/{stem}/log": b"hello\n",
    "PUT /v1/jobs/{job}/runs/{stem}": b"a piece of a run",
    "PUT /v1/jobs/{job}/outputs/{stem}": b"a piece of an output",
}


_UPLOADS = ("/runs/{stem}", "/outputs/{stem}")


def filled(path: str) -> str:
    """The path with parameters that the fake service knows."""
    known = {
        "job": "1",
        "digest": DIGEST,
        "stem": ATTEMPT.stem,
        "task": "map-3",
        "name": PART,
        "index": "3",
        "number": "0",
    }
    query = "?size=100" if path.endswith(_UPLOADS) else ""
    return path.format(**known) + query


def body_of(method: str, path: str) -> bytes | None:
    call = f"{method} {path}"
    return encode(JSON_BODIES[call]) if call in JSON_BODIES else BYTE_BODIES.get(call)
