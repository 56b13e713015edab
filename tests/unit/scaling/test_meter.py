from __future__ import annotations

import pytest

from torpor.resources.load import FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.scaling.meter import Meter
from torpor.scaling.values import Sight

F, G = FunctionKey("ns", "f"), FunctionKey("ns", "g")


def answer(name: str, boot: str = "1", **load: object) -> GatewayLoad:
    return GatewayLoad(name, boot, {F: FunctionLoad(**load)})  # type: ignore[arg-type]


def test_the_first_answer_counts_what_is_there() -> None:
    sample = Meter(0).read([answer("a", in_flight=2, queued=3, held=4)], 0, 1.0).samples[F]
    assert (sample.in_flight, sample.waiting, sample.concurrency) == (2, 7, 9.0)


def test_a_mean_is_a_difference_over_its_time() -> None:
    meter = Meter(0)
    meter.read([answer("a", concurrency_seconds=10.0, requests=100)], 0, 1.0)
    reading = meter.read([answer("a", concurrency_seconds=40.0, requests=150)], 0, 3.0)
    assert reading.samples[F].concurrency == pytest.approx(15)
    assert reading.samples[F].requests_per_second == pytest.approx(25)


@pytest.mark.parametrize(("boot", "seconds"), [("2", 50.0), ("1", 5.0)])
def test_counters_that_began_again_count_what_is_there(boot: str, seconds: float) -> None:
    meter = Meter(0)
    meter.read([answer("a", concurrency_seconds=10.0)], 0, 1.0)
    again = answer("a", boot, in_flight=3, concurrency_seconds=seconds)
    assert meter.read([again], 0, 2.0).samples[F].concurrency == 3


def test_gateways_add_up() -> None:
    first = answer("a", in_flight=2, instances={"p1": 2})
    second = GatewayLoad(
        "b",
        "1",
        {F: FunctionLoad(in_flight=4, held=1, instances={"p1": 1, "p2": 3}), G: FunctionLoad(1)},
    )
    samples = Meter(0).read([first, second], 0, 1.0).samples
    assert samples[F].present == 7
    assert samples[F].concurrency == 7
    assert samples[F].instances == {"p1": 3, "p2": 3}
    assert samples[G].in_flight == 1


def test_a_silent_gateway_keeps_its_last_load_for_half_a_minute() -> None:
    meter = Meter(-100)
    meter.read([answer("a", in_flight=2), answer("b", in_flight=5)], 0, 0.0)
    reading = meter.read([answer("a", in_flight=2)], 1, 29.0)
    assert (reading.samples[F].in_flight, reading.sight) == (7, Sight.PARTIAL)
    reading = meter.read([answer("a", in_flight=2)], 1, 30.0)
    assert (reading.samples[F].in_flight, reading.sight) == (2, Sight.CLEAR)


def test_a_gateway_that_was_removed_counts_as_long() -> None:
    meter = Meter(-100)
    meter.read([answer("a"), answer("b", in_flight=5)], 0, 0.0)
    reading = meter.read([answer("a")], 0, 5.0)
    assert (reading.samples[F].in_flight, reading.sight) == (5, Sight.PARTIAL)


def test_early_on_any_silent_gateway_may_have_had_load() -> None:
    meter = Meter(0)
    assert meter.read([answer("a")], 1, 29.0).sight is Sight.PARTIAL
    assert meter.read([answer("a")], 1, 30.0).sight is Sight.CLEAR


def test_no_answer_at_all_is_blind_even_when_there_is_no_gateway() -> None:
    meter = Meter(0)
    assert meter.read([], 2, 1.0).sight is Sight.BLIND
    assert meter.read([], 0, 2.0).sight is Sight.BLIND
