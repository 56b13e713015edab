"""Places are never given twice, and to nobody before those who asked earlier."""

from __future__ import annotations

import threading
import time

from torpor_runtime.places import Places


def test_a_place_is_given_once_until_it_is_left() -> None:
    places = Places(1)
    assert places.take(0)
    assert not places.take(0.01)
    places.leave()
    assert places.take(0)


def test_no_limit_is_no_wait() -> None:
    places = Places(0)
    assert all(places.take(0) for _ in range(1000))


def test_those_who_wait_get_their_places_in_the_order_of_asking() -> None:
    places, got = Places(1), list[int]()
    assert places.take(0)

    def ask(number: int) -> None:
        assert places.take(10)
        got.append(number)
        places.leave()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        _until_waiting(places, number + 1)
    places.leave()
    for thread in threads:
        thread.join(10)
    assert got == [0, 1, 2, 3, 4]


def test_who_gives_up_loses_no_place() -> None:
    places = Places(1)
    assert places.take(0)
    assert not places.take(0.01)
    places.leave()
    assert places.waiting == 0
    assert places.take(0)
    assert not places.take(0)


def _until_waiting(places: Places, count: int) -> None:
    deadline = time.monotonic() + 10
    while places.waiting != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)
