"""Claims of idempotency keys in a real bucket: renewed, taken over, completed by their owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.servers.nats import broker, needs_nats
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Dedupe
from torpor.triggers.broker import names
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.dedupe import (
    LIVE_SECONDS,
    Before,
    Claim,
    Deduplication,
    Elsewhere,
)

pytestmark = needs_nats

KEY = "shop.orders.k"


class Clock:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def deduplication(clock: Clock) -> AsyncIterator[Deduplication]:
    async with broker() as at:
        bucket = Bucket(at.connection, names.BUCKET_DEDUPE, LIVE_SECONDS)
        settings = Dedupe(key="id", window_seconds=3600)
        yield Deduplication(bucket, FunctionKey("shop", "orders"), settings, clock)


async def claimed(dedupe: Deduplication, by: str) -> Claim:
    found = await dedupe.claim(KEY, 10.0, by)
    assert isinstance(found, Claim)
    return found


async def test_a_renewed_claim_is_nobody_elses_until_its_new_end() -> None:
    clock = Clock()
    async with deduplication(clock) as dedupe:
        mine = await claimed(dedupe, "me")
        clock.now += 8
        await dedupe.renew(mine, 10.0)
        clock.now += 8
        assert await dedupe.claim(KEY, 10.0, "other") == Elsewhere(1_018.0)
        clock.now += 3
        assert (await claimed(dedupe, "other")).by == "other"


async def test_a_claim_whose_renewal_was_not_answered_is_completed_all_the_same() -> None:
    async with deduplication(Clock()) as dedupe:
        mine = await claimed(dedupe, "me")
        await dedupe.renew(mine, 10.0)  # the answer is lost: the claim knows the revision before
        await dedupe.complete(mine, Answer(200, body=b"first"))
        found = await dedupe.claim(KEY, 10.0, "other")
        assert isinstance(found, Before)
        assert (found.answer.status, found.answer.body) == (200, b"first")


async def test_a_claim_that_was_taken_over_changes_nothing_any_more() -> None:
    clock = Clock()
    async with deduplication(clock) as dedupe:
        late = await claimed(dedupe, "late")
        clock.now += 11
        other = await claimed(dedupe, "other")
        await dedupe.renew(late, 1_000.0)
        await dedupe.release(late)
        await dedupe.complete(late, Answer(500))
        assert await dedupe.claim(KEY, 10.0, "third") == Elsewhere(1_021.0)
        await dedupe.complete(other, Answer(200))
        assert isinstance(await dedupe.claim(KEY, 10.0, "third"), Before)
