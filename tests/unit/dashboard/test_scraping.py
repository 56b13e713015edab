"""The metrics of Torpor's own pods, when some of them do not tell theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web

from torpor.dashboard.cluster import pods
from torpor.dashboard.cluster.pods import RolePod, scrape
from torpor.dashboard.server import served
from torpor.dashboard.sources import Away

TOLD = "torpor_leader 1\n"
HERE, NOWHERE = "127.0.0.1", "127.0.0.2"


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=TOLD)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with served(app, HERE, 0) as found:
        yield found


async def test_a_bill_is_not_made_without_the_share_of_a_pod_that_stays(port: int) -> None:
    both = [RolePod("gateway-a", "gateway", HERE), RolePod("gateway-b", "gateway", NOWHERE)]
    async with ClientSession() as http:
        assert await scrape(http, both[:1], port) == [TOLD]
        with pytest.raises(Away, match="no metrics from gateway-b"):
            await scrape(http, both, port)


async def test_a_pod_that_leaves_may_be_silent(port: int) -> None:
    left = RolePod("gateway-b", "gateway", NOWHERE, leaving=True)
    async with ClientSession() as http:
        assert await scrape(http, [RolePod("gateway-a", "gateway", HERE), left], port) == [TOLD]


async def test_metrics_without_an_end_are_not_read(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "_MOST_BYTES", len(TOLD) - 1)
    async with ClientSession() as http:
        with pytest.raises(Away, match="no metrics from gateway-a"):
            await scrape(http, [RolePod("gateway-a", "gateway", HERE)], port)
