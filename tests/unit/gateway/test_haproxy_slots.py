"""A slot's counts belong to the lane that it carries now."""

from __future__ import annotations

import pytest

from torpor.errors import SlotsExhausted
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.slots import SlotPool, Stage
from torpor.gateway.dataplane.haproxy.steps import leave_servers, take_servers


def test_an_owner_who_comes_back_within_the_rest_counts_from_zero() -> None:
    pool: SlotPool[str] = SlotPool(["b0", "b1"])
    slot = pool.bind("shop/cart")
    assert slot.requests(7) == 7
    pool.give_back("shop/cart", now=1.0)
    assert pool.find("shop/cart") is None
    again = pool.bind("shop/cart")
    assert again is slot
    assert again.requests(9) == 2


def test_a_slot_that_stays_bound_goes_on_counting() -> None:
    pool: SlotPool[str] = SlotPool(["b0"])
    pool.bind("shop/cart").requests(7)
    assert pool.bind("shop/cart").requests(9) == 9


def test_a_free_slot_starts_its_new_owner_at_zero() -> None:
    pool: SlotPool[str] = SlotPool(["b0"])
    pool.bind("shop/cart").requests(7)
    pool.give_back("shop/cart", now=1.0)
    pool.release("shop/cart")
    assert pool.bind("shop/till").requests(8) == 1


def test_one_owner_too_many_is_refused() -> None:
    pool: SlotPool[str] = SlotPool(["b0"])
    pool.bind("shop/cart")
    with pytest.raises(SlotsExhausted, match="all 1 slots"):
        pool.bind("shop/till")


def test_an_instance_whose_adding_was_never_answered_keeps_its_row() -> None:
    pool: SlotPool[str] = SlotPool(["b0"])
    slot = pool.bind("shop/cart")
    rows = iter(["s1", "s2"])
    pod = Server("cart-1", "127.0.0.2", 8080, limit=1)
    first = take_servers(slot, [pod], lambda: next(rows))
    again = take_servers(slot, [pod], lambda: next(rows))
    assert first[0].command == again[0].command
    assert again[0].succeeded("Already exists a server with the same name in backend.")
    for step in again:
        step.done()
    assert [member.stage for member in slot.members.values()] == [Stage.READY]


def test_an_instance_whose_adding_was_never_answered_can_leave() -> None:
    pool: SlotPool[str] = SlotPool(["b0"])
    slot = pool.bind("shop/cart")
    take_servers(slot, [Server("cart-1", "127.0.0.2", 8080, limit=1)], lambda: "s1")
    [drain, _] = leave_servers(slot, [], deadline=9.0)
    assert drain.succeeded("No such server.")
    drain.done()
    assert [member.row for member in slot.leaving()] == ["s1"]
