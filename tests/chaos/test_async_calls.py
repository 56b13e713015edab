"""Asynchronous calls while the events role is killed again and again: what was taken is done."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web

from tests.chaos.report import Faults
from tests.support.async_rig import PREFER, Rig, async_rig
from tests.support.haproxy import needs_haproxy
from tests.support.servers.function import Call
from tests.support.servers.nats import needs_nats, until

pytestmark = [needs_haproxy, needs_nats]
CALLS = 80
KILLS = 2


async def answering(_: Call) -> web.Response:
    await asyncio.sleep(0.2)  # so that some are in flight when the role dies
    return web.Response(text="done")


async def test_no_call_that_was_accepted_is_lost_to_a_kill_of_the_events_role(
    faults: Faults,
) -> None:
    async with async_rig({"echo": {}}, answering, gateways=2) as rig:
        accepted: set[bytes] = set()
        sending = asyncio.create_task(_send(rig, accepted), name="send")
        for kill in range(KILLS):
            await until(partial(_has, accepted, 15 * (kill + 1)), 60)
            rig.events.kill()
            rig.events.start()
            await rig.events.ready(rig.session)
        await sending

        async def all_done() -> bool:
            return accepted <= {each.body for each in rig.instances.calls}

        await until(all_done, 60)
        assert len(accepted) >= 15 * KILLS
    lost = f"none of {len(accepted)} calls that were accepted"
    faults.add("events role killed during asynchronous calls", KILLS, lost)


async def _has(accepted: set[bytes], enough: int) -> bool:
    return len(accepted) >= enough


async def _send(rig: Rig, accepted: set[bytes]) -> None:
    """Send calls by both gateways, one after the other; note what was answered 202."""
    for number in range(CALLS):
        gateway, body = rig.gateways[number % 2], b"%d" % number
        url = f"http://127.0.0.1:{gateway.port}/function/shop/echo"
        async with rig.session.post(url, data=body, headers=PREFER) as answer:
            assert answer.status in (202, 503), await answer.text()
            if answer.status == 202:
                accepted.add(body)
