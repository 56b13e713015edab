"""The time of requests inside instances, which a bill is made of: none is that of a sleep."""

from __future__ import annotations

from torpor.gateway.dataplane.base import LaneLoad
from torpor.gateway.tally import Tally
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REGISTRY

KEY = FunctionKey("tallied", "f")


def inside() -> float | None:
    labels = {"namespace": KEY.namespace, "function": KEY.name}
    return REGISTRY.get_sample_value("torpor_gateway_request_seconds_total", labels)


def test_seconds_are_those_of_requests_in_flight_from_the_second_reading_on() -> None:
    tally = Tally(KEY)
    tally.add(LaneLoad(3, 0, 3, {}), 0, 9_000.0)  # since the last reading, hours ago
    assert inside() is None
    tally.add(LaneLoad(3, 5, 8, {}), 7, 0.2)
    tally.add(LaneLoad(1, 0, 8, {}), 0, 0.2)
    assert inside() == 3 * 0.2 + 1 * 0.2
    tally.rest()
    tally.add(LaneLoad(2, 0, 10, {}), 0, 5_000.0)
    assert inside() == 3 * 0.2 + 1 * 0.2, "what was asleep between counts for nothing"
    tally.remove_series()
    assert inside() is None
