"""One attempt on a real worker, from a mapper's source to what was committed or how it failed."""

from __future__ import annotations

from mapreduce.protocol.messages import Commit, Fail, Failure
from tests.support.workers import Setting

SUM = """
def mapper(line):
    yield line, 1

def reducer(key, values):
    yield key, sum(values)
"""


def run_one(setting: Setting, mapper: str, text: str = "one\n", *, is_traced: bool = False) -> Commit | Fail:
    """The result of one map task with this code in front of a mapper's body."""
    setting.job(mapper)
    setting.worker()
    task = setting.map_task(0, text, is_traced=is_traced)
    setting.coordinator.grant(task)
    result = setting.coordinator.result(task.id)
    assert isinstance(result, Commit | Fail)
    return result


def failure_of(setting: Setting, mapper: str, text: str = "one\n", *, is_traced: bool = False) -> Failure:
    result = run_one(setting, mapper, text, is_traced=is_traced)
    assert isinstance(result, Fail), result
    return result.failure


def still_works(setting: Setting) -> None:
    """The worker runs another task after what happened before."""
    task = setting.map_task(1, "fine\n")
    setting.coordinator.grant(task)
    assert isinstance(setting.coordinator.result(task.id), Commit)
