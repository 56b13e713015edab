"""The reflector through every way in which a watch can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.fake_api import FakeApi, Refusal, WatchFault
from tests.support.platform_rig import QUICK, deployment, serving, until
from torpor.platform.kubernetes import ObjectKey, Reflector, Selection
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import DEPLOYMENTS

EVERYTHING = Selection(DEPLOYMENTS)
Told = list[tuple[str, int | None, int | None]]


def replicas_of(obj: dict[str, Any]) -> int | None:
    assert "managedFields" not in obj["metadata"]
    found: int = obj["spec"]["replicas"]
    return found if found >= 0 else None


@asynccontextmanager
async def reflecting(
    api: KubernetesApi, selection: Selection = EVERYTHING, inactivity: float = 5.0
) -> AsyncIterator[tuple[Reflector[int], Told]]:
    told: Told = []

    def on_change(key: ObjectKey, old: int | None, new: int | None) -> None:
        told.append((key.name, old, new))

    reflector = Reflector(
        api, selection, replicas_of, on_change, backoff=QUICK, inactivity_seconds=inactivity
    )
    task = asyncio.create_task(reflector.run())
    try:
        async with asyncio.timeout(5):
            await reflector.synced.wait()
        yield reflector, told
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def names(reflector: Reflector[int]) -> set[str]:
    return {key.name for key in reflector.items()}


async def test_what_exists_then_what_changes_is_told_in_order() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1))
        async with reflecting(api) as (reflector, told):
            assert told == [("a", None, 1)]
            await until(lambda: fake.watching() == 1)
            fake.put("deployments", deployment("a", 2))
            fake.put("deployments", deployment("b", 5))
            fake.remove("deployments", "shop", "a")
            await until(lambda: len(told) == 4)
            assert told[1:] == [("a", 1, 2), ("b", None, 5), ("a", 2, None)]
            assert reflector.get("shop", "b") == 5
            assert reflector.get("shop", "a") is None


async def lose_some(fake: FakeApi) -> None:
    """Change all that can change while nobody watches."""
    fake.remove("deployments", "shop", "a")
    fake.put("deployments", deployment("b", 9))
    fake.put("deployments", deployment("new", 3))
    fake.compact()


@pytest.mark.parametrize(
    "fault",
    [WatchFault.GONE_STATUS, WatchFault.GONE_EVENT, WatchFault.ERROR_EVENT],
    ids=lambda fault: fault.name,
)
async def test_deletes_during_a_gap_are_told_once_the_list_is_read_again(
    fault: WatchFault,
) -> None:
    async with serving() as (fake, api):
        for name in "abc":
            fake.put("deployments", deployment(name, 1))
        async with reflecting(api) as (reflector, told):
            await until(lambda: fake.watching() == 1)
            told.clear()
            fake.fail_watches(fault)
            fake.break_watches(WatchFault.CUT)
            await lose_some(fake)
            await until(lambda: names(reflector) == {"b", "c", "new"})
            assert sorted(told) == [("a", 1, None), ("b", 1, 9), ("new", None, 3)]
            assert fake.requests["LIST", "deployments"] == 2


async def test_an_error_in_the_stream_leads_to_a_new_list() -> None:
    async with serving() as (fake, api), reflecting(api) as (reflector, _):
        await until(lambda: fake.watching() == 1)
        fake.break_watches(WatchFault.ERROR_EVENT)
        fake.put("deployments", deployment("a", 1))
        await until(lambda: names(reflector) == {"a"})
        assert fake.requests["LIST", "deployments"] == 2


@pytest.mark.parametrize("fault", [WatchFault.CUT, WatchFault.END], ids=lambda fault: fault.name)
async def test_a_watch_that_breaks_goes_on_without_a_list(fault: WatchFault) -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1))
        async with reflecting(api) as (_, told):
            await until(lambda: fake.watching() == 1)
            fake.fail_watches(fault, fault)
            fake.break_watches(fault)
            fake.remove("deployments", "shop", "a")
            fake.put("deployments", deployment("b", 1))
            await until(lambda: len(told) == 3)
            assert told == [("a", None, 1), ("a", 1, None), ("b", None, 1)]
            assert fake.requests["LIST", "deployments"] == 1


async def test_a_watch_that_stalls_is_left() -> None:
    async with serving() as (fake, api), reflecting(api, inactivity=0.4) as (reflector, told):
        await until(lambda: fake.watching() == 1)
        fake.break_watches(WatchFault.STALL)
        fake.put("deployments", deployment("a", 1))
        await until(lambda: told == [("a", None, 1)])
        assert reflector.idle_seconds() < 0.4


async def test_bookmarks_keep_a_quiet_watch_alive_and_young() -> None:
    async with serving() as (fake, api), reflecting(api, inactivity=0.4) as (reflector, _):
        await until(lambda: fake.watching() == 1)
        await asyncio.sleep(1.0)
        assert fake.requests["WATCH", "deployments"] == 1
        assert reflector.idle_seconds() < 0.4


async def test_a_bookmark_spares_the_list_after_a_compaction() -> None:
    async with serving() as (fake, api), reflecting(api) as (reflector, _):
        await until(lambda: fake.watching() == 1)
        fake.put("services", {"metadata": {"namespace": "shop", "name": "other"}})
        fake.compact()
        await until(lambda: reflector._version == str(fake._version))
        fake.break_watches(WatchFault.CUT)
        await until(lambda: fake.requests["WATCH", "deployments"] == 2)
        fake.put("deployments", deployment("a", 1))
        await until(lambda: names(reflector) == {"a"})
        assert fake.requests["LIST", "deployments"] == 1


async def test_a_server_that_forgets_at_once_is_not_flooded_with_lists() -> None:
    async with serving() as (fake, api):
        fake.fail_watches(*[WatchFault.GONE_STATUS] * 10_000)
        async with reflecting(api):
            await asyncio.sleep(1.0)
            # The backoff of these tests ends at 25-50 ms.
            assert 5 < fake.requests["LIST", "deployments"] < 50


@pytest.mark.parametrize("refusal", [Refusal(429, 1), Refusal(500), Refusal(403)])
async def test_refused_lists_and_watches_are_asked_for_again(refusal: Refusal) -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1))
        fake.refuse("LIST", refusal)
        fake.refuse("WATCH", refusal)
        async with reflecting(api) as (reflector, _):
            fake.put("deployments", deployment("b", 1))
            await until(lambda: names(reflector) == {"a", "b"})


async def test_a_server_that_was_away_is_caught_up_with() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1))
        async with reflecting(api) as (reflector, _):
            await until(lambda: fake.watching() == 1)
            await fake.stop()
            fake.remove("deployments", "shop", "a")
            fake.put("deployments", deployment("b", 1))
            fake.compact()
            await asyncio.sleep(0.3)
            assert names(reflector) == {"a"}
            await fake.start()
            await until(lambda: names(reflector) == {"b"})


async def test_slow_answers_only_delay() -> None:
    async with serving() as (fake, api):
        fake.slow_seconds = 0.2
        fake.put("deployments", deployment("a", 1))
        async with reflecting(api) as (reflector, _):
            fake.put("deployments", deployment("b", 1))
            await until(lambda: names(reflector) == {"a", "b"})


async def test_only_the_selected_are_told_and_leaving_the_selection_is_a_deletion() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1, tier="x"))
        fake.put("deployments", deployment("b", 1))
        selection = Selection(DEPLOYMENTS, "shop", labels="tier")
        async with reflecting(api, selection) as (reflector, told):
            assert names(reflector) == {"a"}
            await until(lambda: fake.watching() == 1)
            elsewhere = deployment("c", 1, tier="x")
            elsewhere["metadata"]["namespace"] = "other"
            fake.put("deployments", elsewhere)
            fake.put("deployments", deployment("a", 2))
            await until(lambda: told == [("a", None, 1), ("a", 1, None)])


async def test_what_is_not_kept_does_not_exist() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", -1))
        async with reflecting(api) as (reflector, told):
            assert not told
            await until(lambda: fake.watching() == 1)
            fake.put("deployments", deployment("a", 1))
            fake.put("deployments", deployment("a", -1))
            await until(lambda: len(told) == 2)
            assert told == [("a", None, 1), ("a", 1, None)]
            assert len(reflector) == 0


async def test_an_exception_of_the_callback_ends_the_run() -> None:
    def broken(key: ObjectKey, old: int | None, new: int | None) -> None:
        raise ZeroDivisionError

    async with serving() as (fake, api):
        fake.put("deployments", deployment("a", 1))
        reflector = Reflector(api, Selection(DEPLOYMENTS), replicas_of, broken)
        with pytest.raises(ZeroDivisionError):
            await reflector.run()
