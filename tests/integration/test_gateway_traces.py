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


async def test_a_function_is_told_which_traces_it_is_the_root_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = ServingPlatform()
    async with telling(platform, monkeypatch) as (gateway, to):
        held = await send(gateway.port, host=ECHO)
        warm = await send(gateway.port, host=ECHO)
        assert (held.status, warm.status) == (200, 200)
        [hold] = await to.got(1)
        [server] = platform.servers.values()
        first, second = (seen.headers for seen in server.seen)
    assert first["traceparent"] == f"00-{hold.trace}-{hold.id}-01"
    assert not first.get("tracestate"), "its hold is the root"
    assert second["tracestate"] == "torpor=begun"


async def test_where_no_holds_are_told_the_function_is_the_root() -> None:
    platform = ServingPlatform()
    platform.add(function())
    async with real_gateway(platform) as gateway:
        await until_ready(gateway)
        assert (await send(gateway.port, host=ECHO)).status == 200
        [server] = platform.servers.values()
        [seen] = server.seen
    assert seen.headers["tracestate"] == "torpor=begun"
    await platform.stop()


@pytest.mark.parametrize(
    ("sent", "others"),
    [
        ("torpor=begun", []),
        ("a=1, torpor=begun ,b=2", ["a=1", "b=2"]),
        ("torpor=x,a=1", ["a=1"]),
        ("a=1,nottorpor=begun", ["a=1", "nottorpor=begun"]),
        ("torpor=begun,torpor=begun", []),
        ("a=1", ["a=1"]),
    ],
)
async def test_what_only_a_gateway_may_say_is_taken_out_and_the_rest_goes_on(
    sent: str, others: list[str]
) -> None:
    platform = ServingPlatform()
    platform.add(function())
    async with real_gateway(platform) as gateway:
        await until_ready(gateway)
        headers = {**SAMPLED, "tracestate": sent}
        assert (await send(gateway.port, host=ECHO, headers=headers)).status == 200
        orphaned = {"tracestate": sent}
        assert (await send(gateway.port, host=ECHO, headers=orphaned)).status == 200
        [server] = platform.servers.values()
        seen, second = (seen.headers for seen in server.seen)
    members = [each.strip() for each in seen.get("tracestate", "").split(",")]
    assert [each for each in members if each] == others
    assert second["tracestate"] == "torpor=begun", "one without a traceparent belongs to no trace"
    await platform.stop()
