"""A gate ends with its last request, also where no instance ever came."""

from __future__ import annotations

import asyncio

from tests.support.activator_rig import activator_rig
from tests.support.fake_platform import function
from tests.support.virtual_time import run
from torpor.errors import ApiUnavailable
from torpor.gateway.dataplane.base import Refused

HOLD_SECONDS = 2


def test_a_gate_whose_requests_expired_unanswered_ends() -> None:
    async def scenario() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(hold={"maxSeconds": HOLD_SECONDS}))
            await rig.settled()
            rig.platform.failures = [ApiUnavailable(503, "x", "away")] * 1000
            verdicts = await asyncio.gather(*(rig.hold(key) for _ in range(3)))
            codes = [verdict.code for verdict in verdicts if isinstance(verdict, Refused)]
            assert codes == ["api-unavailable"] * 3
            await asyncio.sleep(1)
            assert rig.activator.gate(key) is None
            assert rig.activator._pace_seconds() is None

    run(scenario())


def test_a_gate_whose_client_left_ends() -> None:
    async def scenario() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function(hold={"maxSeconds": 60}))
            await rig.settled()
            rig.platform.failures = [ApiUnavailable(503, "x", "away")] * 1000
            held = rig.hold(key)
            await asyncio.sleep(1)
            assert rig.activator.gate(key) is not None
            held.cancel()
            await asyncio.sleep(1)
            assert rig.activator.gate(key) is None

    run(scenario())
