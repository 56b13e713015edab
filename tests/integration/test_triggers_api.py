"""The events API over a real nats-server: CloudEvents, calls, notifications, access, limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest

from tests.support.events_rig import events_api
from tests.support.servers.lossy import losing
from tests.support.servers.nats import lost, needs_nats, until
from torpor.aws.access import Access
from torpor.resources.trigger import Trigger
from torpor.triggers.claims import redeem
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.event import from_structured

pytestmark = needs_nats
BUS = "/v1/namespaces/shop/buses/orders/events"
QUEUE = "/v1/namespaces/shop/queues/jobs/events"
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/s",
    "ce-type": "order",
    "Content-Type": "application/json",
}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ASYNC = {"source": {"http": {"async": True}}, "target": {"function": {"name": "f"}}}


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "order", **more}


async def test_events_come_in_all_three_modes_with_the_trace_of_their_request() -> None:
    async with events_api() as rig:
        status, told, _ = await rig.post(BUS, b'{"a": 1}', {**BINARY, "traceparent": TRACE})
        assert (status, told) == (
            202,
            {"events": [{"id": "1", "source": "/s", "duplicate": False}]},
        )
        body = orjson.dumps(event(2, data=[2]))
        assert (await rig.post(BUS, body, STRUCTURED))[0] == 202
        body = orjson.dumps([event(3), event(4), event(3)])
        _, told, _ = await rig.post(BUS, body, BATCH)
        assert [each["duplicate"] for each in told["events"]] == [False, False, True]
        events = [from_structured(each.data) for each in await rig.of_bus("orders", 4)]
    assert [each.id for each in events] == ["1", "2", "3", "4"]
    assert events[0].data == {"a": 1}
    assert events[0].traceparent == TRACE


async def test_what_is_sent_again_is_stored_once() -> None:
    async with events_api() as rig:
        first = await rig.post(QUEUE, b"{}", BINARY)
        again = await rig.post(QUEUE, b"{}", BINARY)
        held = await rig.at.streams.held("queue_shop_jobs")
    assert first[1]["events"][0]["duplicate"] is False
    assert again[1]["events"][0]["duplicate"] is True
    assert held == {"torpor.queue.shop.jobs.0": 1}


async def test_a_batch_for_an_ordered_queue_is_stored_in_order_of_each_key() -> None:
    ordered = {
        "source": {"queue": {"name": "jobs"}},
        "target": {"function": {"name": "f"}},
        "ordering": {"key": "data.key"},
    }
    sent = [event(n, data={"key": f"k{n % 3}"}) for n in (*range(30), 4)]
    async with events_api() as rig:
        await rig.put(ordered)
        _, told, _ = await rig.post(QUEUE, orjson.dumps(sent), BATCH)
        messages = await rig.of_queue("jobs", 30)
    found: dict[str, list[int]] = {}
    for message in messages:
        found.setdefault(message.subject, []).append(int(from_structured(message.data).id))
    assert [each["duplicate"] for each in told["events"]] == [False] * 30 + [True]
    assert len(found) > 1
    assert all(numbers == sorted(numbers) for numbers in found.values())


async def test_a_batch_is_in_its_bus_in_order_though_one_had_to_be_sent_again() -> None:
    sent = [event(n, data={"mark": f"m{n}"}) for n in range(5)]
    async with events_api(brokered=lambda: losing(b'"m2"')) as rig:
        status, _, _ = await rig.post(BUS, orjson.dumps(sent), BATCH)
        found = [from_structured(each.data).id for each in await rig.of_bus("orders", 5)]
    assert status == 202
    assert found == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "reason"),
    [
        (BUS, {**BINARY, "ce-id": ""}, b"{}", 400, "id must not be empty"),
        (BUS, STRUCTURED, b"{", 400, "the body is not JSON"),
        (BUS, STRUCTURED, b'{"specversion": "0.3"}', 400, "specversion '0.3' is not known"),
        (BUS, BATCH, b"{}", 400, "a batch must be a JSON array"),
        (BUS.replace("orders", "Or_ders"), BINARY, b"{}", 400, "the bus 'Or_ders' must be"),
        ("/v1/namespaces/shop/nothing", BINARY, b"{}", 404, "there is nothing at"),
    ],
)
async def test_bad_requests_are_told_why(
    path: str, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    async with events_api() as rig:
        found, told, answered = await rig.post(path, body, headers)
        assert await rig.at.streams.buses() == []
    assert found == status
    assert answered["Content-Type"].startswith("application/problem+json")
    assert reason in told["detail"]


async def test_large_data_is_checked_in_and_too_large_a_body_refused() -> None:
    large = b'"' + b"x" * 700_000 + b'"'
    async with events_api(max_body_bytes=1_000_000) as rig:
        assert (await rig.post(BUS, large, BINARY))[0] == 202
        status, told, _ = await rig.post(BUS, b'"' + b"x" * 1_000_001 + b'"', BINARY)
        (message,) = await rig.of_bus("orders", 1)
        whole = await redeem(from_structured(message.data), rig.parts.objects)
    assert (status, told["code"]) == (413, "request-entity-too-large")
    assert len(message.data) < 2_000
    assert whole.data == "x" * 700_000


async def test_a_body_that_does_not_arrive_is_waited_for_so_long() -> None:
    async with events_api(body_seconds=0.2) as rig:
        port = rig.url.rpartition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(f"POST {BUS} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{".encode())
        async with asyncio.timeout(5):
            answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408")


async def test_large_bodies_are_in_memory_up_to_a_sum() -> None:
    large = b'"' + b"x" * 100_000 + b'"'
    async with events_api(max_bodies_bytes=150_000) as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        writer.write(f"POST {BUS} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{{".encode())

        async def full() -> bool:
            return (await rig.post(BUS, large, BINARY))[0] == 503

        await until(full)
        status, told, headers = await rig.post(BUS, large, BINARY)
        assert (status, told["code"], headers["Retry-After"]) == (503, "busy", "1")
        assert (await rig.post(BUS, b"{}", BINARY))[0] == 202
        writer.close()

        async def room() -> bool:
            return not await full()

        await until(room)


async def test_without_the_broker_everything_is_refused_until_it_is_back() -> None:
    async with events_api() as rig:
        assert (await rig.post(BUS, b"{}", BINARY))[0] == 202
        await asyncio.to_thread(rig.at.server.kill)
        await lost(rig.at.connection)
        status, told, headers = await rig.post(BUS, b"{}", {**BINARY, "ce-id": "2"})
        assert (status, told["code"], headers["Retry-After"]) == (503, "broker-away", "1")
        await asyncio.to_thread(rig.at.server.start)
        async with asyncio.timeout(30):
            while (await rig.post(BUS, b"{}", {**BINARY, "ce-id": "2"}))[0] != 202:
                pass


async def test_only_who_has_the_token_or_a_key_may() -> None:
    async with events_api(Access({"id": "secret"}, "hush")) as rig:
        status, told, headers = await rig.post(BUS, b"{}", BINARY)
        assert (status, told["code"], headers["WWW-Authenticate"]) == (
            401,
            "unauthorized",
            "Bearer",
        )
        await rig.put(ASYNC)
        own = {"Authorization": "Bearer the caller's own"}
        assert (await rig.post("/v1/namespaces/shop/triggers/t", b"", own))[0] == 202
        bearer = {**BINARY, "Authorization": "Bearer hush"}
        assert (await rig.post(BUS, b"{}", bearer))[0] == 202
        for token, status in (("hush", 202), ("wrong", 401)):
            given = {**BINARY, "X-Torpor-Token": token}
            assert (await rig.post(BUS, b"{}", given))[0] == status
        entry = {"Source": "s", "DetailType": "t", "Detail": "{}"}
        put = rig.boto("events").put_events
        assert (await asyncio.to_thread(put, Entries=[entry]))["FailedEntryCount"] == 0
        wrong = rig.boto("events", secret="wrong").put_events
        with pytest.raises(Exception, match="InvalidSignatureException"):
            await asyncio.to_thread(wrong, Entries=[entry])


async def test_there_may_be_so_many_buses_and_queues() -> None:
    async with events_api(max_places=1) as rig:
        assert (await rig.post(BUS, b"{}", BINARY))[0] == 202
        status, told, _ = await rig.post(QUEUE, b"{}", BINARY)
        assert (await rig.post(BUS, b"{}", {**BINARY, "ce-id": "2"}))[0] == 202
    assert (status, told["code"]) == (429, "over-limit")


async def test_a_call_is_taken_and_what_comes_of_it_can_be_fetched() -> None:
    async with events_api() as rig:
        await rig.put(ASYNC)
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        path = "/v1/namespaces/shop/triggers/t?x=1"
        status, _, answered = await rig.post(path, b'{"n": 1}', headers)
        again = await rig.post(path, b'{"n": 1}', headers)
        location = answered["Location"]
        assert (status, again[2]["Location"]) == (202, location)
        (message,) = await rig.of_inbox("t", 1)
        taken = from_structured(message.data)
        assert (taken.type, taken.data) == ("dev.torpor.http.request", {"n": 1})
        assert taken.extensions["query"] == "x=1"
        async with rig.session.get(rig.url + location) as pending:
            assert (pending.status, (await pending.json())["status"]) == (202, "pending")
        trigger = Trigger.parse({"metadata": {"namespace": "shop", "name": "t"}, "spec": ASYNC})
        answer = Answer(201, body=b'{"ok":1}', content_type="application/json")
        await rig.parts.results.keep(trigger, taken, answer)
        async with rig.session.get(rig.url + location) as done:
            assert (done.status, await done.json()) == (201, {"ok": 1})
        await rig.parts.results.keep(trigger, taken, Answer(None, "no answer within 3 s"))
        async with rig.session.get(rig.url + location) as failed:
            assert (failed.status, (await failed.json())["detail"]) == (502, "no answer within 3 s")
        async with rig.session.get(rig.url + location[:-1] + "x") as unknown:
            assert unknown.status == 404


async def test_a_cloud_event_sent_again_is_the_same_call() -> None:
    path = "/v1/namespaces/shop/triggers/t"
    async with events_api() as rig:
        await rig.put(ASYNC)
        _, _, first = await rig.post(path, b"{}", BINARY)
        _, _, again = await rig.post(path, b"{}", {**BINARY, "Idempotency-Key": "k"})
        _, _, other = await rig.post(path, b"{}", {**BINARY, "ce-id": "2"})
        assert sum((await rig.at.streams.inbox_lag()).values()) == 2
    assert first["Location"] == again["Location"] != other["Location"]


async def test_only_triggers_that_ask_for_it_take_calls() -> None:
    async with events_api() as rig:
        await rig.put({"source": {"bus": {"name": "b"}}, "target": {"function": {"name": "f"}}})
        status, told, _ = await rig.post("/v1/namespaces/shop/triggers/t", b"", {})
        filtered = {**ASYNC, "filter": {"pattern": {"data": {"n": [2]}}}}
        await rig.put(filtered, "picky")
        headers = {"Content-Type": "application/json"}
        path = "/v1/namespaces/shop/triggers/picky"
        assert (await rig.post(path, b'{"n": 1}', headers))[0] == 204
        assert (await rig.post(path, b'{"n": 2}', headers))[0] == 202
        async with rig.session.get(rig.url + BUS) as wrong:
            assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
    assert (status, told["code"]) == (404, "no-such-trigger")


async def test_a_store_s_notification_reaches_the_triggers_that_want_it() -> None:
    record: dict[str, Any] = {
        "eventName": "s3:ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "in/a.png", "size": 3, "sequencer": "1"}},
    }
    source = {"storage": {"bucket": "b", "prefix": "in/"}}
    async with events_api() as rig:
        await rig.put({"source": source, "target": {"function": {"name": "f"}}})
        other = {"storage": {"bucket": "other"}}
        await rig.put({"source": other, "target": {"function": {"name": "f"}}}, "o")
        odd = {**record["s3"], "object": {"key": "in/\x01", "sequencer": "2"}}
        records = [record, record, {**record, "s3": odd}]
        path = "/v1/namespaces/shop/storage"
        status, told, _ = await rig.post(path, json.dumps({"Records": records}).encode(), {})
        (message,) = await rig.of_inbox("t", 1)
        assert (await rig.post(path, b"[]", {}))[0] == 400
    assert (status, told) == (200, {"records": 3, "stored": 3})
    assert from_structured(message.data).subject == "in/a.png"
