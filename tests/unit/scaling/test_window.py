from __future__ import annotations

import pytest

from torpor.scaling.values import Averages
from torpor.scaling.window import Window


def test_empty_is_nothing() -> None:
    assert Window(60, 6).averages() == Averages()


def test_an_interval_without_length_says_nothing() -> None:
    window = Window(60, 6)
    window.add(5.0, 5.0, 100)
    assert window.averages() == Averages()


def test_means_are_over_what_was_seen_so_far() -> None:
    window = Window(60, 6)
    window.add(10.4, 11.4, 100)
    assert window.averages() == Averages(100, 100, 100)


def test_each_window_has_its_mean_and_the_peak_stays() -> None:
    window = Window(10, 2)
    for second in range(100, 110):
        window.add(second, second + 1, 50)
    window.add(110, 112, 200)
    window.add(112, 116, 0)
    means = window.averages()
    assert means.stable == pytest.approx((4 * 50 + 2 * 200) / 10)
    assert means.burst == 0
    assert means.peak == 200


def test_the_peak_leaves_with_its_window() -> None:
    window = Window(10, 2)
    window.add(0, 2, 200)
    for second in range(2, 14):
        window.add(second, second + 1, 10)
    assert window.averages().peak == pytest.approx(10)


def test_a_window_may_be_one_second() -> None:
    window = Window(2, 1)
    window.add(0.0, 1.0, 10)
    window.add(1.0, 2.0, 30)
    assert window.averages() == Averages(20, 30, 30)


def test_uneven_ticks_weigh_by_their_length() -> None:
    window = Window(60, 6)
    window.add(0.7, 1.2, 10)
    window.add(1.2, 4.7, 30)
    assert window.averages().stable == pytest.approx((0.5 * 10 + 3.5 * 30) / 4)


def test_after_a_long_pause_only_the_new_counts() -> None:
    window = Window(10, 2)
    window.add(0, 10, 100)
    window.add(500, 501, 7)
    means = window.averages()
    assert means.stable == pytest.approx(0.7)
    assert means.burst == pytest.approx(3.5)


def test_an_interval_longer_than_the_window_fills_it() -> None:
    window = Window(10, 2)
    window.add(0, 10, 100)
    window.add(10, 300, 7)
    assert window.averages() == Averages(7, 7, 7)


def test_sums_are_exact_after_a_long_time() -> None:
    window = Window(60, 6)
    for tick in range(20_000):
        window.add(tick * 1.01, (tick + 1) * 1.01, tick % 7 / 3)
    window.add(20_200, 20_300, 0)
    assert window.averages() == Averages(0, 0, 0)
