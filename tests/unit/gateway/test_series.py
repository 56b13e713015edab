"""What a gateway's metrics have of one function: the present while it is awake, totals always."""

from __future__ import annotations

import asyncio

from tests.support.activator_rig import activator_rig
from tests.support.fake_platform import function
from tests.support.virtual_time import run
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REGISTRY


def series(key: FunctionKey) -> set[str]:
    """The names of the function's series."""
    labels = {"namespace": key.namespace, "function": key.name}
    return {
        sample.name
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if labels.items() <= sample.labels.items() and not sample.name.endswith("_created")
    }


def test_a_function_at_zero_has_no_gauges_and_keeps_its_counter() -> None:
    async def scenario() -> None:
        async with activator_rig() as rig:
            key = rig.platform.add(function("sleeper"))
            await rig.settled()
            await rig.ask(key)
            await asyncio.sleep(5)
            gauges = {"torpor_gateway_held", "torpor_gateway_in_flight", "torpor_gateway_queued"}
            awake = series(key)
            assert awake >= gauges | {"torpor_gateway_requests_total"}
            await rig.activator.park(key)
            rig.platform.set_replicas(key, 0)
            rig.activator.settle(key, scaled=True)
            for instance in list(rig.platform.instances[key].values()):
                rig.platform.take(instance)
            await asyncio.sleep(30)
            assert rig.activator.gate(key) is None
            assert not series(key) & gauges
            assert "torpor_gateway_requests_total" in series(key)
            rig.platform.remove(key)
            await asyncio.sleep(1)
            assert series(key) == set()

    run(scenario())
