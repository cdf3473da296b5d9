"""The job's own code at fault: the job fails with the reason that is true, after as many attempts as were allowed."""

from __future__ import annotations

import pytest

from tests.support import clusterjobs
from tests.support.kubecalls import Namespace, Object, condition

HOARD = "def mapper(line):\n    yield len(b'x' * (1 << 30)), 1\n"
HOARD_SLOWLY = """\
import time


def mapper(line):
    hoard = []
    while True:
        hoard.append(b'x' * (8 << 20))
        time.sleep(0.1)
        yield len(hoard), 1
"""
LEAVE = "import os\n\n\ndef mapper(line):\n    os._exit(3)\n    yield line, 1\n"
HANG = "import time\n\n\ndef mapper(line):\n    time.sleep(3600)\n    yield line, 1\n"
MEMORY_LIMIT = {"containers": [{"name": "executor", "resources": {"limits": {"memory": "192Mi"}}}]}


@pytest.mark.parametrize(
    ("name", "code", "reason", "spec"),
    [
        pytest.param("hoards", HOARD, "OutOfMemory", {}, id="out-of-memory-at-once"),
        pytest.param("grows", HOARD_SLOWLY, "OutOfMemory", {}, id="out-of-memory-slowly", marks=pytest.mark.full),
        pytest.param("leaves", LEAVE, "TaskCrashed", {}, id="ends-its-process", marks=pytest.mark.full),
        pytest.param("hangs", HANG, "TaskTimedOut", {"taskTimeoutSeconds": 3}, id="hangs", marks=pytest.mark.full),
    ],
)
def test_code_at_fault_fails_the_job_by_its_own_name(
    namespace: Namespace, name: str, code: str, reason: str, spec: Object
) -> None:
    workers = {"replicas": 1, "memoryBudgetBytes": 32 << 20, "podTemplate": {"spec": MEMORY_LIMIT}}
    texts = ["a\n"]
    namespace.apply(
        clusterjobs.job(name, code=code, texts=texts, reducer="count", maxAttempts=2, workers=workers, **spec)
    )
    ended = clusterjobs.await_end(namespace, name)
    failed = condition(ended, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", reason)
    assert ended["status"]["attemptsFailed"] == 2
