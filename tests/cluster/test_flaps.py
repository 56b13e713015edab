"""Going to zero loses nothing: hundreds of wakes whose clients come back at the worst moment.

Each client waits for about as long as the function needs to fall asleep, so that its next request
arrives before, during and after the parking, in turn and by chance.
TORPOR_FLAPS says how many wakes there are.
"""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from tests.cluster.harness import SCALING_QUICK, Lab
from tests.cluster.traffic import Tally, percentile, send, steady

FLAPS = int(os.environ.get("TORPOR_FLAPS", "200"))
FUNCTIONS = 8
WAKES = FLAPS // FUNCTIONS
PAUSE_SECONDS = (1.0, 3.2)
BURST = 5
DEADLINE_SECONDS = 2.7 * FLAPS


@pytest.mark.timeout(DEADLINE_SECONDS + 120)
async def test_flaps_under_traffic_lose_nothing(lab: Lab) -> None:
    warm = await lab.make("warm", scaling={"minReplicas": 1})
    names = [f"flap-{n}" for n in range(FUNCTIONS)]
    hosts = [await lab.make(name, scaling=dict(SCALING_QUICK)) for name in names]
    tally = Tally()
    began = time.monotonic()
    async with steady(warm, per_second=10) as beside, asyncio.TaskGroup() as tasks:
        for host in hosts:
            tasks.create_task(flap(host, tally, random.Random(host)), name=host)
    cold = [answer for answer in tally.answers if answer.cold_ms is not None]
    first = [answer.seconds for answer in cold]
    took = time.monotonic() - began
    print(f"flapping: {tally}\nwarm beside: {beside}")
    print(f"{len(cold)} wakes in {took:.0f} s, first request p50 {percentile(first, 0.5):.2f} s,")
    print(f"p95 {percentile(first, 0.95):.2f} s, max {max(first):.2f} s")
    tally.all_200()
    beside.all_200()
    assert len(cold) >= FUNCTIONS * WAKES


async def flap(host: str, tally: Tally, rand: random.Random) -> None:
    """Wake the function `WAKES` times: a few requests, a pause of about its idle time, again."""
    wakes = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while wakes < WAKES and time.monotonic() < deadline:
        for _ in range(BURST):
            tally.sent += 1
            answer = await send(host)
            tally.answers.append(answer)
            wakes += answer.cold_ms is not None
            await asyncio.sleep(0.05)
        await asyncio.sleep(rand.uniform(*PAUSE_SECONDS))
