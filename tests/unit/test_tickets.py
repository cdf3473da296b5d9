"""Tickets for the page and the tokens that they buy."""

from __future__ import annotations

import pytest

from mapreduce.coordinator.auth import Authenticator, make_tokens
from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.tickets import (
    PAGE_TOKEN_LIFETIME_S,
    TICKET_LIFETIME_S,
    Tickets,
    is_page_token,
    make_page_token,
)

NOW_AT = 1_000_000.0
SECRET = "r" * 43


class Clock:
    def __init__(self) -> None:
        self.now_at = NOW_AT

    def __call__(self) -> float:
        return self.now_at


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets(Clock())
    ticket = tickets.issue()
    assert tickets.redeem(ticket)
    assert not tickets.redeem(ticket)


def test_a_ticket_that_nobody_issued_is_not_good() -> None:
    assert not Tickets(Clock()).redeem("x" * 43)


def test_a_ticket_is_void_when_its_time_is_over() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    early, late = tickets.issue(), tickets.issue()
    clock.now_at += TICKET_LIFETIME_S - 1
    assert tickets.redeem(early)
    clock.now_at += 1
    assert not tickets.redeem(late)


def test_tickets_that_nobody_uses_cost_bounded_memory() -> None:
    tickets = Tickets(Clock())
    issued = [tickets.issue() for _ in range(1_500)]
    assert not tickets.redeem(issued[0])
    assert tickets.redeem(issued[-1])
    assert len(set(issued)) == len(issued)


def test_a_page_token_is_good_until_it_expires() -> None:
    token = make_page_token(SECRET, NOW_AT)
    assert is_page_token(token, SECRET, NOW_AT)
    assert is_page_token(token, SECRET, NOW_AT + PAGE_TOKEN_LIFETIME_S - 1)
    assert not is_page_token(token, SECRET, NOW_AT + PAGE_TOKEN_LIFETIME_S)


def test_a_page_token_is_void_when_the_read_token_is_another_one() -> None:
    assert not is_page_token(make_page_token(SECRET, NOW_AT), "s" * 43, NOW_AT)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: "mrp2" + t[4:], lambda t: t.replace(".1", ".9"), lambda t: "ü" + t]
)
def test_a_page_token_that_was_altered_is_no_token(change: object) -> None:
    assert callable(change)
    assert not is_page_token(change(make_page_token(SECRET, NOW_AT)), SECRET, NOW_AT)


def test_a_page_token_may_read_and_nothing_else() -> None:
    tokens = make_tokens()
    authenticator = Authenticator(tokens)
    token = make_page_token(tokens.read, NOW_AT)
    assert authenticator.caller(f"Bearer {token}", epoch=1, now_at=NOW_AT).kind == "read"
    with pytest.raises(Refused):
        authenticator.caller(f"Bearer {token}", epoch=1, now_at=NOW_AT + PAGE_TOKEN_LIFETIME_S)
