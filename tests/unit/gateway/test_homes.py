"""Gateways divide a limit so that together they never exceed it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.support.activator_rig import activator_rig
from tests.support.fake_platform import function
from tests.support.virtual_time import run as run_virtual
from torpor.gateway.homes import Membership, home_of
from torpor.resources.names import FunctionKey

KEY = FunctionKey("shop", "echo")
NAMES = st.sets(st.from_regex(r"gateway-[a-z0-9]{1,5}", fullmatch=True), min_size=1, max_size=20)


def views(names: set[str]) -> list[Membership]:
    addresses = {name: f"address of {name}" for name in names}
    return [Membership.of(name, addresses[name], addresses) for name in names]


@given(names=NAMES, limit=st.integers(1, 500))
def test_all_gateways_together_send_exactly_the_limit(names: set[str], limit: int) -> None:
    serving = [view for view in views(names) if view.home(KEY, limit) is None]
    shares = [share for view in serving for share in view.shares(limit)]
    assert sum(shares) == limit
    assert min(shares) >= min(2, limit)


@given(names=NAMES, limit=st.integers(0, 100), reserved=st.integers(0, 100))
def test_neither_limit_is_exceeded_nor_anything_of_it_lost(
    names: set[str], limit: int, reserved: int
) -> None:
    serving = [view for view in views(names) if view.home(KEY, limit, reserved) is None]
    shares = [view.shares(limit, reserved) for view in serving]
    assert sum(share for share, _ in shares) == limit
    assert sum(share for _, share in shares) == reserved
    assert limit == 0 or all(share for share, _ in shares)
    assert reserved == 0 or all(share for _, share in shares)


@given(names=NAMES, limit=st.integers(0, 500))
def test_all_gateways_agree_on_one_home(names: set[str], limit: int) -> None:
    told = {view.me: view.home(KEY, limit) for view in views(names)}
    homes = {home for home in told.values() if home is not None}
    assert len(homes) <= 1
    assert all(told[home] is None for home in homes)


@given(names=NAMES, function_name=st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_a_gateway_that_leaves_moves_only_its_own(names: set[str], function_name: str) -> None:
    key = FunctionKey("shop", function_name)
    home = home_of(key, names)
    for gone in names - {home}:
        assert home_of(key, names - {gone}) == home


def test_no_limit_is_no_limit_for_everyone() -> None:
    assert {view.shares(0) for view in views({"a", "b", "c"})} == {(0,)}


def test_the_data_plane_is_told_shares_homes_and_peers() -> None:
    async def main() -> None:
        async with activator_rig() as rig:
            whole = rig.platform.add(function(scaling={"concurrency": {"limit": 1, "target": 1}}))
            shared = rig.platform.add(function("b", scaling={"concurrency": {"limit": 9}}))
            await rig.settled()
            await rig.ask(shared)
            rig.activator.set_members({"gateway-0": "10.1.0.1", "gateway-1": "10.1.0.2"})
            await asyncio.sleep(0.5)
            assert [server.limit for server in rig.plane.lanes[shared].servers] == [5]
            assert rig.plane.peers == {"gateway-1": ("10.1.0.2", 8082)}
            elsewhere = home_of(whole, {"gateway-0", "gateway-1"}) == "gateway-1"
            assert rig.plane.homes == ({whole: "gateway-1"} if elsewhere else {})
            rig.activator.set_members({})
            await asyncio.sleep(0.5)
            assert [server.limit for server in rig.plane.lanes[shared].servers] == [9]
            assert rig.plane.homes == {}

    run_virtual(main())
