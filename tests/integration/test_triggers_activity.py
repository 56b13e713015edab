"""When a Trigger had its last event, as a real broker keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import Metric

from tests.integration.delivery_rig import definition
from tests.integration.trigger_rig import running
from tests.support.servers.nats import broker, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REGISTRY, TRIGGER_DELIVERED
from torpor.triggers.activity import Activity

pytestmark = needs_nats


@dataclass(eq=False)
class Scans:
    """Counts how often somebody reads every metric."""

    count: int = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        yield from ()


async def test_the_last_event_of_each_trigger_is_kept_without_reading_every_metric() -> None:
    known = {FunctionKey("shop", f"seen-{n}"): definition(f"seen-{n}") for n in range(20)}
    scans = Scans()
    async with broker() as at:
        for key in known:
            TRIGGER_DELIVERED.labels(key.namespace, key.name).inc()
        REGISTRY.register(scans)
        before = scans.count
        activity = Activity(at.connection, lambda: known, wall=lambda: 1000.0)
        try:

            async def all_kept() -> bool:
                other = Activity(at.connection, lambda: known, wall=time.time)
                return dict(await other.read()) == dict.fromkeys(known, 1000.0)

            async with running(activity.run()):
                await until(all_kept)
        finally:
            REGISTRY.unregister(scans)
    assert scans.count == before
