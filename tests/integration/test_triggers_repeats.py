"""Requests that are sent again, against the bucket that keeps their calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from tests.support.servers.nats import broker, needs_nats
from torpor.resources.names import FunctionKey
from torpor.triggers.base import BrokerAway
from torpor.triggers.repeats import OtherRequest, Repeats, Request, digest_of, key_of

pytestmark = needs_nats
PAY = Request(FunctionKey("shop", "echo"), "uid", "order-7", digest_of("POST", "/pay", b"1"))


@dataclass
class Inbox:
    """What was stored; `away` as long as it cannot be."""

    calls: list[str] = field(default_factory=list)
    away: bool = False

    async def store(self, call: str) -> None:
        if self.away:
            raise BrokerAway("away")
        self.calls.append(call)


async def test_a_request_is_stored_once_however_late_it_comes_again() -> None:
    """The broker alone would forget it after two minutes."""
    async with broker() as at:
        repeats, inbox = Repeats(at.connection), Inbox()
        calls = [await repeats.once(PAY, new, inbox.store) for new in ("a", "b", "c")]
    assert (calls, inbox.calls) == (["a", "a", "a"], ["a"])


async def test_what_was_not_stored_is_when_it_comes_again() -> None:
    async with broker() as at:
        repeats, inbox = Repeats(at.connection), Inbox(away=True)
        with pytest.raises(BrokerAway):
            await repeats.once(PAY, "a", inbox.store)
        inbox.away = False
        assert await repeats.once(PAY, "b", inbox.store) == "a"
    assert inbox.calls == ["a"]


async def test_another_request_or_function_is_another_call() -> None:
    async with broker() as at:
        repeats, inbox = Repeats(at.connection), Inbox()
        await repeats.once(PAY, "a", inbox.store)
        for wrong in (("PUT", "/pay", b"1"), ("POST", "/p", b"ay1"), ("POST", "/pay", b"2")):
            with pytest.raises(OtherRequest, match="a name of its own"):
                await repeats.once(replace(PAY, digest=digest_of(*wrong)), "b", inbox.store)
        for new, other in (("c", replace(PAY, uid="made anew")), ("d", replace(PAY, name=""))):
            assert await repeats.once(other, new, inbox.store) == new
    assert inbox.calls == ["a", "c", "d"]


def test_the_key_is_found_in_any_case() -> None:
    assert key_of({"idempotency-key": "k"}) == "k"
    assert key_of({}) == ""
