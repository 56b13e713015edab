"""How the time of pods is counted: each second once, by what it was good for."""

from __future__ import annotations

import pytest

from tests.support.scaling_cluster import function
from tests.unit.functions.test_autoscaler import seconds, virtual, world
from torpor.functions.usage import phase_of
from torpor.platform.base import Instance
from torpor.resources.load import FunctionLoad
from torpor.resources.names import FunctionKey
from torpor.telemetry.cost import Phase
from torpor.telemetry.metrics import REGISTRY


def spent(key: FunctionKey) -> dict[str, float | None]:
    labels = {"namespace": key.namespace, "function": key.name}
    name = "torpor_function_pod_seconds_total"
    counted = {phase: {**labels, "phase": phase} for phase in ("start", "useful", "idle")}
    return {phase: REGISTRY.get_sample_value(name, it) for phase, it in counted.items()}


@virtual
async def test_a_pod_that_starts_two_seconds_serves_three_and_idles_five() -> None:
    async with world(start_seconds=2.0) as here:
        key = here.platform.add(function("counted", idleSeconds=5, windowSeconds=6))
        await seconds(3)
        here.platform.force(key, 1)  # ready after two seconds
        here.gateway().present[key] = FunctionLoad(held=1)
        await seconds(2)
        [pod] = here.platform.workloads[key].pods
        here.gateway().present[key] = FunctionLoad(in_flight=1, instances={pod: 1})
        await seconds(3)
        here.gateway().present[key] = FunctionLoad()
        await seconds(20)
        assert here.platform.replicas(key) == 0
        found = spent(key)
        gone = here.platform.writes[-1].at  # the pod left the moment it was scaled to zero
        assert found["start"] == pytest.approx(2.0)
        assert found["useful"] == pytest.approx(3.0, abs=1.0)
        whole = sum(value or 0.0 for value in found.values())
        idle = found["idle"] or 0.0
        assert idle == pytest.approx(whole - 2.0 - (found["useful"] or 0.0))
        assert 4.0 <= idle <= 7.0, f"scaled down at {gone}"


@virtual
async def test_every_second_of_every_pod_is_counted_once() -> None:
    async with world(start_seconds=1.0) as here:
        key = here.platform.add(function("steady", minReplicas=3), replicas=3)
        await seconds(10.5)
        at = spent(key)
        await seconds(60)
        later = spent(key)
        assert at["start"] == later["start"] == pytest.approx(3.0)
        assert (later["idle"] or 0) - (at["idle"] or 0) == pytest.approx(180.0)


@virtual
async def test_a_function_at_zero_has_no_series_and_a_deleted_one_none_any_more() -> None:
    async with world() as here:
        asleep = here.platform.add(function("asleep"))
        awake = here.platform.add(function("awake", minReplicas=1), replicas=1)
        await seconds(5)
        assert set(spent(asleep).values()) == {None}
        assert spent(awake)["idle"]
        size = {"namespace": "ns", "function": "awake", "resource": "memory_bytes"}
        assert REGISTRY.get_sample_value("torpor_function_pod_size", size) == 128 << 20
        here.platform.delete(awake)
        await seconds(3)
        assert set(spent(awake).values()) == {None}
        assert REGISTRY.get_sample_value("torpor_function_pod_size", size) is None


@pytest.mark.parametrize(
    ("ready", "terminating", "requests", "phase"),
    [
        (False, False, 0, Phase.START),
        (True, False, 0, Phase.IDLE),
        (True, False, 2, Phase.USEFUL),
        (False, True, 1, Phase.USEFUL),
        (False, True, 0, Phase.IDLE),
    ],
)
def test_what_an_instance_does(ready: bool, terminating: bool, requests: int, phase: Phase) -> None:
    instance = Instance(FunctionKey("a", "b"), "p", "u", None, 80, ready, terminating)
    assert phase_of(instance, {"p": requests, "other": 9}) is phase
