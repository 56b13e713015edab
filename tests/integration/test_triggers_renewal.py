"""Large data lives as long as what refers to it, against a real broker."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.integration.trigger_rig import event, trigger
from tests.support.servers.nats import Broker, broker, needs_nats
from torpor.triggers import renewal as module
from torpor.triggers.base import Undecodable
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.broker.reading import read_from
from torpor.triggers.broker.room import Room
from torpor.triggers.claims import check_in, redeem, set_aside
from torpor.triggers.delivery.burial import Death, bury_event, bury_undecodable
from torpor.triggers.event import Event, from_structured, to_structured
from torpor.triggers.renewal import RENEW_SECONDS, WAITED_SECONDS, Renewal

pytestmark = needs_nats
CHUNKS = 2
LARGE = {"text": "x" * 600_000}


def renewal(at: Broker, later_seconds: float) -> Renewal:
    return Renewal(at.connection, at.streams, wall=lambda: time.time() + later_seconds)


async def checked_in(at: Broker, number: int) -> tuple[Event, bytes]:
    whole = event(number, data=LARGE)
    return whole, await check_in(whole, StreamObjects(at.connection))


async def test_data_of_what_waits_is_renewed_and_other_data_is_not() -> None:
    async with broker() as at:
        await at.streams.ensure_queue("shop", "q")
        _, nobody = await checked_in(at, 0)
        waiting, inbox = await checked_in(at, 1)
        _, queued = await checked_in(at, 2)
        _, dead = await checked_in(at, 3)
        raw = await set_aside(Undecodable(bytes(1 << 20), "x"), StreamObjects(at.connection))
        letters = (
            bury_event(trigger(), "3", dead, Death("x", 0.0)),
            bury_undecodable(trigger(), raw, 0.0),
        )
        await at.publisher.publish(names.inbox_subject("shop", "orders"), inbox)
        await at.publisher.publish(names.queue_subject("shop", "q"), queued)
        await at.publisher.publish_batch(letters)
        before = await at.streams.state(names.OBJECT_STREAM)
        late = RENEW_SECONDS + WAITED_SECONDS
        assert await renewal(at, 0).renew() == 0
        assert await renewal(at, late).renew() == 4
        after = await at.streams.state(names.OBJECT_STREAM)
        assert before is not None
        assert after is not None
        assert after.messages == before.messages
        assert after.last_seq == before.last_seq + 3 * CHUNKS + 2
        first = await read_from(at.connection, names.OBJECT_STREAM, "torpor.objects.>", 1)
        assert first is not None
        assert first.subject.split(".")[2] in nobody.decode()
        assert await redeem(from_structured(inbox), StreamObjects(at.connection)) == waiting


@pytest.mark.parametrize(
    "reference", ["nats:a:12345", "nats:a:9999", "nats::1", "s3://elsewhere/x", ""]
)
async def test_what_only_looks_like_a_reference_neither_ends_renewal_nor_costs_much(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    async with broker() as at:
        claimed = event(2, data=None).with_attributes({"dataref": reference, "torporheld": "json"})
        forged = (event(1, data={"dataref": reference, "torporheld": "json"}), claimed)
        for number, each in enumerate(forged):
            letter = bury_event(trigger(), str(number), to_structured(each), Death("x", 0.0))
            await at.publisher.publish_batch([letter])
        _, dead = await checked_in(at, 3)
        await at.publisher.publish_batch([bury_event(trigger(), "3", dead, Death("x", 0.0))])
        before = await at.streams.state(names.OBJECT_STREAM)
        late = renewal(at, RENEW_SECONDS + WAITED_SECONDS)
        running = asyncio.create_task(late.run(), name="renewal")
        try:
            async with asyncio.timeout(5):  # 9,999 requests take longer
                while await at.streams.state(names.OBJECT_STREAM) == before:
                    assert not running.done()
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def test_a_store_nearly_full_renews_what_it_holds() -> None:
    async with broker() as at:
        _, dead = await checked_in(at, 1)
        await at.publisher.publish_batch([bury_event(trigger(), "1", dead, Death("x", 0.0))])
        at.connection.room = Room(store_bytes=1 << 30, used_bytes=int(0.92 * (1 << 30)))
        assert await renewal(at, RENEW_SECONDS + WAITED_SECONDS).renew() == 1
