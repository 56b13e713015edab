"""How many connections one function may have."""

from __future__ import annotations

from contextlib import ExitStack

from torpor.gateway.dataplane.haproxy.crowd import Crowd
from torpor.resources.names import FunctionKey

ONE = FunctionKey("shop", "one")
TWO = FunctionKey("shop", "two")


def fill(crowd: Crowd, holds: ExitStack, *keys: FunctionKey) -> list[int]:
    """Hold requests of all in turn until there is room for none; return how many each got."""
    held = dict.fromkeys(keys, 0)
    while any(crowd.has_room(key) for key in keys):
        for key in keys:
            if crowd.has_room(key):
                holds.enter_context(crowd.held(key))
                held[key] += 1
    return list(held.values())


def test_one_function_gets_half_and_two_get_a_third_each() -> None:
    with ExitStack() as holds:
        assert fill(Crowd(900), holds, ONE) == [450]
    with ExitStack() as holds:
        assert fill(Crowd(900), holds, ONE, TWO) == [300, 300]


def test_what_others_have_is_not_free() -> None:
    crowd = Crowd(900)
    crowd.read(300)
    with ExitStack() as holds:
        assert fill(crowd, holds, ONE) == [300]
        crowd.read(600)  # HAProxy counts those that are held too
        assert crowd.free == 300


def test_a_function_that_has_little_gets_in_where_one_that_has_much_does_not() -> None:
    crowd = Crowd(900)
    with ExitStack() as holds:
        fill(crowd, holds, ONE)
        assert (crowd.has_room(ONE), crowd.has_room(TWO)) == (False, True)


def test_what_ends_leaves_its_room() -> None:
    crowd = Crowd(10)
    with ExitStack() as holds:
        fill(crowd, holds, ONE)
        assert not crowd.has_room(ONE)
    assert crowd.has_room(ONE)
    assert crowd.free == 10
