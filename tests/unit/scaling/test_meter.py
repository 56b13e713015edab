from __future__ import annotations

from dataclasses import replace

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


def measured(at: float, **load: object) -> GatewayLoad:
    return replace(answer("a", "1", **load), measured_at=at)


def test_a_late_answer_neither_lowers_a_load_nor_raises_the_next_one() -> None:
    meter = Meter(0)
    rates = []
    for second, late in enumerate((0.0, 0.0, 0.5, 0.0, 0.0)):
        told = measured(500.0 + second, concurrency_seconds=3.0 * second, requests=60 * second)
        sample = meter.read([told], 0, second + late).samples[F]
        rates.append((sample.requests_per_second, sample.concurrency))
    assert rates[1:] == [(60, 3)] * 4


def test_what_was_measured_over_too_little_time_is_left_to_the_next_mean() -> None:
    meter = Meter(0)
    meter.read([measured(10.0, requests=0)], 0, 0.0)
    assert meter.read([measured(11.0, requests=60)], 0, 1.0).samples[F].requests_per_second == 60
    few = measured(11.1, requests=90, in_flight=5)
    sample = meter.read([few], 0, 2.0).samples[F]
    assert (sample.requests_per_second, sample.in_flight) == (60, 5)
    assert meter.read([measured(13.0, requests=140)], 0, 3.0).samples[F].requests_per_second == 40


def test_two_answers_of_one_moment_are_one_measurement() -> None:
    meter = Meter(0)
    meter.read([measured(10.0, concurrency_seconds=0.0)], 0, 0.0)
    told = measured(11.0, concurrency_seconds=4.0)
    for now in (1.0, 1.3):
        reading = meter.read([told], 0, now)
        assert (reading.samples[F].concurrency, reading.sight) == (4, Sight.CLEAR)


def test_a_function_that_comes_within_too_little_time_counts_what_is_there() -> None:
    meter = Meter(0)
    meter.read([GatewayLoad("a", "1", {}, (), 10.0)], 0, 0.0)
    assert meter.read([measured(10.1, in_flight=2)], 0, 1.0).samples[F].concurrency == 2


def test_a_gateway_that_does_not_tell_when_is_measured_by_its_answers() -> None:
    meter = Meter(0)
    meter.read([answer("a", requests=0)], 0, 0.0)
    assert meter.read([measured(7.0, requests=20)], 0, 2.0).samples[F].requests_per_second == 10


def test_a_function_that_slept_while_nothing_was_measured_counts_what_is_there() -> None:
    meter = Meter(0)
    meter.read([measured(10.0, concurrency_seconds=5.0)], 0, 0.0)
    meter.read([GatewayLoad("a", "1", {}, (), 10.0)], 0, 1.0)
    woke = measured(100.0, in_flight=1, queued=49, concurrency_seconds=95.0)
    assert meter.read([woke], 0, 90.0).samples[F].concurrency == 50
