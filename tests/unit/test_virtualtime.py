"""The simulated loop itself: time jumps, programs die and stop, hanging is an error."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.virtualtime import START_S, DeadlockError, TooLongError, VirtualClock, virtual_loop


def test_an_hour_passes_in_no_time() -> None:
    began_s = time.monotonic()
    with virtual_loop() as loop:
        loop.run_until_complete(asyncio.sleep(3_600))
        assert loop.time() == START_S + 3_600
    assert time.monotonic() - began_s < 1


def test_timers_fire_in_order_of_their_time() -> None:
    order: list[int] = []
    with virtual_loop() as loop:
        for delay_s in (3, 1, 2):
            loop.call_later(delay_s, order.append, delay_s)
        loop.run_until_complete(asyncio.sleep(5))
    assert order == [1, 2, 3]


def test_waiting_for_what_never_comes_is_an_error() -> None:
    with virtual_loop() as loop, pytest.raises(DeadlockError):
        loop.run_until_complete(asyncio.Event().wait())


def test_waiting_for_too_long_is_an_error() -> None:
    with virtual_loop(limit_s=10) as loop, pytest.raises(TooLongError):
        loop.run_until_complete(asyncio.sleep(11))


async def tick(seen: list[float], loop_time: VirtualClock) -> None:
    while True:
        await loop_time.sleep_s(1)
        await asyncio.gather(note(seen, loop_time))


async def note(seen: list[float], loop_time: VirtualClock) -> None:
    seen.append(loop_time.monotonic_s() - START_S)


def test_a_killed_program_does_nothing_more_and_neither_do_its_tasks() -> None:
    seen: list[float] = []
    with virtual_loop() as loop:
        program = loop.program("victim")
        loop.start(program, tick(seen, VirtualClock(loop)))
        loop.call_later(3.5, loop.kill, program)
        loop.run_until_complete(asyncio.sleep(10))
        assert not loop.errors
    assert seen == [1, 2, 3]


def test_a_stopped_program_goes_on_where_it_was() -> None:
    seen: list[float] = []
    with virtual_loop() as loop:
        program = loop.program("sleeper")
        loop.start(program, tick(seen, VirtualClock(loop)))
        loop.call_later(2.5, loop.stop_program, program)
        loop.call_later(100.5, loop.resume, program)
        loop.run_until_complete(asyncio.sleep(102))
    assert seen == [1, 2, 100.5, 101.5]


def test_others_go_on_while_a_program_is_stopped_in_the_middle_of_a_step() -> None:
    seen: list[float] = []
    with virtual_loop() as loop:
        clock = VirtualClock(loop)
        blocked, other = loop.program("blocked"), loop.program("other")

        async def block() -> None:
            loop.stop_program(blocked)
            loop.run_nested(lambda: len(seen) == 3)
            loop.resume(blocked)
            await clock.sleep_s(1)
            seen.append(-1)

        loop.start(other, tick(seen, clock))
        loop.run_until_complete(loop.task(blocked, block()))
    assert seen[:3] == [1, 2, 3]
    assert -1 in seen[3:]


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not() -> None:
    with virtual_loop() as loop:
        clock = VirtualClock(loop)
        before_s, wall_s = clock.monotonic_s(), clock.utc_s()
        clock.wall_jump_s = -86_400
        assert clock.monotonic_s() == before_s
        assert clock.utc_s() == wall_s - 86_400
