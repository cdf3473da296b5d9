"""User code that raises, exits, crashes, hangs or outgrows its memory fails its attempt, never the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.model import MIB
from mapreduce.protocol.messages import Commit, Fail
from tests.support.attempts import failure_of, still_works
from tests.support.workers import Setting, setting_in


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with setting_in(tmp_path) as made:
        yield made


def test_an_exception_is_the_users_failure_with_traceback_and_record(setting: Setting) -> None:
    failure = failure_of(
        setting,
        """
        def mapper(line):
            print("about to divide")
            yield line, 1 // (line != "bad")
        """,
        "good\nbad\n",
    )
    assert failure.failure_class == "user"
    assert "ZeroDivisionError" in failure.traceback
    assert "'bad'" in failure.record
    log = setting.coordinator.logs["map-00000.e1.a1"].decode()
    assert "about to divide" in log
    assert "ZeroDivisionError" in log


def test_sys_exit_is_the_users_failure_and_the_executor_goes_on(setting: Setting) -> None:
    failure = failure_of(
        setting,
        """
        import sys
        def mapper(line):
            if line == "one":
                sys.exit(5)
            yield line, 1
        """,
    )
    assert failure.failure_class == "user"
    still_works(setting)


def test_code_that_fails_when_imported_is_the_users_failure(setting: Setting) -> None:
    failure = failure_of(setting, "raise RuntimeError('no such luck')\n")
    assert failure.failure_class == "user"
    assert "no such luck" in failure.message + failure.traceback


def test_os_exit_is_a_crash_that_names_the_exit_code(setting: Setting) -> None:
    failure = failure_of(
        setting,
        """
        import os
        def mapper(line):
            if line == "one":
                print("farewell")
                os._exit(7)
            yield line, 1
        """,
    )
    assert failure.failure_class == "crash"
    assert "exit code 7" in failure.message
    assert "next attempt" in failure.message
    assert b"farewell" in setting.coordinator.logs["map-00000.e1.a1"]
    still_works(setting)


def test_a_segfault_is_a_crash_that_names_the_signal_and_the_line_of_user_code(setting: Setting) -> None:
    failure = failure_of(
        setting,
        """
        import ctypes
        def touch_nothing():
            ctypes.string_at(0)
        def mapper(line):
            if line == "one":
                touch_nothing()
            yield line, 1
        """,
    )
    assert failure.failure_class == "crash"
    assert "SIGSEGV" in failure.message
    assert "touch_nothing" in failure.traceback
    still_works(setting)


def test_a_traced_crash_names_the_record(setting: Setting) -> None:
    failure = failure_of(
        setting,
        """
        import os
        def mapper(line):
            if line == "poison":
                os._exit(1)
            yield line, 1
        """,
        "good\nfine\npoison\nmore\n",
        is_traced=True,
    )
    assert failure.failure_class == "crash"
    assert "poison" in failure.record
    assert "byte 10" in failure.record


def test_an_attempt_that_hangs_is_ended_as_timeout_and_says_where(setting: Setting) -> None:
    setting.job(
        """
        import time
        def wait_for_ever():
            while True:
                time.sleep(60)
        def mapper(line):
            if line == "one":
                wait_for_ever()
            yield line, 1
        """,
        timeout_s=1,
    )
    setting.worker()
    task, behind = setting.map_task(0), setting.map_task(2, "behind\n")
    setting.coordinator.grant(task, behind)
    result = setting.coordinator.result(task.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "timeout"
    assert "wait_for_ever" in result.failure.traceback
    assert isinstance(setting.coordinator.result(behind.id), Commit)


def test_an_executor_that_outgrows_its_memory_is_ended_and_replaced(setting: Setting) -> None:
    setting.job(
        """
        import time
        def mapper(line):
            if line == "one":
                hog = b"x" * (300 << 20)
                time.sleep(60)
            yield line, 1
        """,
        memory_limit_bytes=200 * MIB,
    )
    setting.worker()
    task = setting.map_task(0)
    setting.coordinator.grant(task)
    result = setting.coordinator.result(task.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "memory"
    assert "200 MiB" in result.failure.message
    still_works(setting)
