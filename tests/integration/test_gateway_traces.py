"""A request that is held has a span, with the phases of the wake; a warm one passes without."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.test_gateway_service import ECHO, until_ready
from tests.support.collector import Collector, collector
from tests.support.fake_platform import function
from tests.support.haproxy import needs_haproxy, send
from tests.support.real_gateway import RealGateway, ServingPlatform, real_gateway
from torpor.telemetry.tracing import exporting

pytestmark = needs_haproxy
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@asynccontextmanager
async def telling(
    platform: ServingPlatform, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RealGateway, Collector]]:
    platform.add(function())
    async with collector() as to:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with (
            exporting("torpor-gateway", 2.0) as emit,
            real_gateway(platform, emit=emit) as gateway,
        ):
            await until_ready(gateway)
            yield gateway, to
        await platform.stop()


async def test_those_who_wait_for_a_wake_have_spans_and_the_waker_its_phases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = ServingPlatform()
    async with telling(platform, monkeypatch) as (gateway, to):
        first = asyncio.create_task(send(gateway.port, host=ECHO, headers=SAMPLED))
        second = asyncio.create_task(send(gateway.port, host=ECHO))
        assert {(await first).status, (await second).status} == {200}
        warm = await send(gateway.port, host=ECHO, headers=SAMPLED)
        assert warm.status == 200
        spans = await to.got(2)
        [server] = platform.servers.values()
        given = [seen.headers["traceparent"] for seen in server.seen]
    assert len(spans) == 2, "the warm request has none"
    [mine] = [span for span in spans if span.trace == TRACE]
    [other] = [span for span in spans if span.trace != TRACE]
    assert (mine.service, mine.name) == ("torpor-gateway", "hold shop/echo")
    assert mine.kind == "SPAN_KIND_INTERNAL"
    assert (mine.parent, other.parent) == (CALLER, "")
    assert f"00-{other.trace}-{other.id}-01" in given, "what the function tells is below the hold"
    assert 0.05 < mine.end - mine.start < 10
    assert mine.error is None
    assert mine.attributes["torpor.hold"] == "first"
    phases = [
        {name for name in span.attributes if name.startswith("torpor.cold_start.")}
        for span in (mine, other)
    ]
    assert sorted(map(bool, phases)) == [False, True], "one of them woke it"
    assert "torpor.cold_start.release_ms" in phases[0] | phases[1]


async def test_a_refusal_and_a_client_that_left_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = ServingPlatform(starts_after_seconds=60)
    async with telling(platform, monkeypatch) as (gateway, to):
        leaves = asyncio.create_task(send(gateway.port, host=ECHO, headers=SAMPLED))
        key = next(iter(platform.functions))
        async with asyncio.timeout(10):
            while not platform.instances.get(key):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        leaves.cancel()
        await asyncio.wait({leaves})
        [left] = await to.got(1)
        refused = asyncio.create_task(send(gateway.port, host=ECHO, headers=SAMPLED))
        [instance] = platform.instances[key].values()
        platform.trouble(instance, "ImagePullBackOff", final=True)
        assert (await refused).status == 503
        refusal = (await to.got(2))[-1]
    assert (left.error, refusal.error) == ("abandoned", "cannot-start")
    assert refusal.attributes["http.response.status_code"] == 503


async def test_who_is_not_sampled_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with telling(ServingPlatform(), monkeypatch) as (gateway, to):
        quiet = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        assert (await send(gateway.port, host=ECHO, headers=quiet)).status == 200
    assert to.spans == []
