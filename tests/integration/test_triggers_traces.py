"""The events role tells a collector each hop of an event, in the trace that it came with."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.support.collector import Collector, Told, collector
from tests.support.events_role import called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import needs_nats, until
from torpor.resources.names import FunctionKey

pytestmark = needs_nats

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HANDLER = {"function": {"name": "handler"}}


@pytest.fixture(autouse=True)
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


def one(spans: Sequence[Told], name: str) -> Told:
    [found] = [span for span in spans if span.name == name]
    return found


async def test_each_hop_over_two_buses_is_below_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([500])
    async with collector() as to, functions(lambda _: next(answers, 200)) as handlers:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with role(handlers) as at:
            on = {"source": {"bus": {"name": "b"}}, "target": {"bus": {"name": "c"}}}
            await at.put(FunctionKey("shop", "on"), on)
            last = {"source": {"bus": {"name": "c"}}, "target": HANDLER}
            quick = {"delivery": {"backoff": {"initialSeconds": 0.05}}}
            await at.put(FunctionKey("shop", "last"), {**last, **quick})
            await at.publish(1, traceparent=f"00-{TRACE}-{CALLER}-01", data={"secret": "s3cr3t"})
            spans = await to.got(6)
        assert {(span.trace, span.service) for span in spans} == {(TRACE, "torpor-events")}
        publish, route = one(spans, "publish shop/b"), one(spans, "route shop/b")
        on_it, again = one(spans, "deliver shop/on"), one(spans, "route shop/c")
        assert (publish.parent, publish.kind) == (CALLER, "SPAN_KIND_SERVER")
        assert (route.parent, on_it.parent, again.parent) == (publish.id, route.id, on_it.id)
        failed, done = sorted(
            (span for span in spans if span.name == "deliver shop/last"),
            key=lambda span: span.start,
        )
        assert (failed.parent, done.parent) == (again.id, again.id)
        assert (failed.kind, failed.attributes["error.type"]) == ("SPAN_KIND_CLIENT", "500")
        assert (failed.attributes["torpor.attempt"], done.attributes["torpor.attempt"]) == (1, 2)
        assert done.attributes["cloudevents.event_id"] == "1"
        assert done.error is None
        sent = [call.headers["traceparent"].split("-")[2] for call in handlers.calls]
        assert sent == [failed.id, done.id], "what the function tells is below its attempt"
        assert "s3cr3t" not in str(spans)
        assert len(to.spans) == 6


async def test_what_a_source_takes_begins_a_trace_that_its_delivery_goes_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collector() as to, functions() as handlers:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with role(handlers) as at:
            source = {"schedule": {"every": "1s"}}
            await at.put(FunctionKey("shop", "tick"), {"source": source, "target": HANDLER})
            await until(called(handlers, 1))
            spans = await to.got(2)
        take = min((span for span in spans if span.name == "take shop/tick"), key=_start)
        deliver = min((span for span in spans if span.name == "deliver shop/tick"), key=_start)
        assert take.parent == ""
        assert (deliver.trace, deliver.parent) == (take.trace, take.id)


async def test_what_its_sender_does_not_sample_is_told_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collector() as to, functions() as handlers:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with role(handlers) as at:
            spec = {"source": {"bus": {"name": "b"}}, "target": HANDLER}
            await at.put(FunctionKey("shop", "orders"), spec)
            await at.publish(1, traceparent=f"00-{TRACE}-{CALLER}-00")
            await until(called(handlers, 1))
            await at.publish(2)
            await _told_of(to, "2")
        assert {span.attributes["cloudevents.event_id"] for span in to.spans} == {"2"}
        assert handlers.calls[0].headers["traceparent"].startswith(f"00-{TRACE}-")
        assert handlers.calls[0].headers["traceparent"].endswith("-00")


async def _told_of(to: Collector, name: str) -> None:
    """Wait until the delivery of an event is told."""

    async def there() -> bool:
        return any(
            span.name == "deliver shop/orders" and span.attributes["cloudevents.event_id"] == name
            for span in to.spans
        )

    await until(there)


def _start(span: Told) -> float:
    return span.start
