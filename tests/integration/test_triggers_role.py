"""The events role whole: its internal API, its deliveries, its health, over a real nats-server."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from typing import Any

import boto3
import pytest
from aiohttp import web

from tests.support.events_role import EVENT, called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.settings import BadSetting, EventsSettings
from torpor.triggers import assembly
from torpor.triggers.role import check
from torpor.triggers.standings import TargetFacts, TriggerRefused

pytestmark = needs_nats
ORDERS = FunctionKey("shop", "orders")
BUS = {"bus": {"name": "b"}}
FUNCTION = {"function": {"name": "handler"}}


async def test_an_event_published_to_a_bus_reaches_the_function_that_wants_it() -> None:
    pattern = {"filter": {"pattern": {"data": {"n": [1]}}}}
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION, **pattern})
        await at.publish(1, data={"n": 2})
        await at.publish(2)
        await until(called(to, 1))
        (standing,) = await at.standings.survey()
        assert (standing.key, standing.subscribed) == (ORDERS, True)
    assert to.ids == ["2"]


async def test_lag_is_told_while_a_function_does_not_take_its_events() -> None:
    gate = asyncio.Event()

    async def blocked(_: Any) -> int:
        await gate.wait()
        return 204

    async with functions(blocked) as to, role(to) as at:
        await at.put(ORDERS, {"source": {"queue": {"name": "q"}}, "target": FUNCTION})
        for number in range(3):
            await at.publish(number, "queues/q")
        expected = {FunctionKey("shop", "handler"): {"orders": 3.0}}
        assert await at.standings.lags() == expected
        gate.set()
        await until(called(to, 3))

        async def empty() -> bool:
            return await at.standings.lags() == {}

        await until(empty)


async def test_a_source_that_is_away_is_told_with_its_reason() -> None:
    async with functions() as to, role(to) as at:
        url = "redis://127.0.0.1:1"
        await at.put(ORDERS, {"source": {"redis": {"url": url, "stream": "s"}}, "target": FUNCTION})

        async def told() -> bool:
            (standing,) = await at.standings.survey()
            return standing.reason == "SourceAway" and not standing.subscribed

        await until(told)
        (standing,) = await at.standings.survey()
    assert "127.0.0.1" in standing.message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"source": BUS, "target": {}}, ["spec.target", "give exactly one"]),
        ({"source": BUS, "target": {"queue": {"name": "A.b"}}}, ["the queue 'A.b' must be"]),
        ({"source": BUS, "target": {"bus": {"name": "A_b"}}}, ["the bus 'A_b' must be"]),
        (
            {
                "source": {"schedule": {"cron": "61 * * * *"}},
                "filter": {"pattern": {"a": "b"}},
                "ordering": {"key": "a b"},
                "target": FUNCTION,
            },
            ["cron", "must be an object or an array", "spec.ordering.key"],
        ),
    ],
)
async def test_a_wrong_trigger_is_refused_with_every_problem(
    spec: dict[str, Any], words: list[str]
) -> None:
    async with functions() as to, role(to) as at:
        with pytest.raises(TriggerRefused) as refused:
            await at.put(ORDERS, spec)
        assert await at.standings.survey() == []
    assert [word for word in words if word not in str(refused.value)] == []


async def test_a_queue_goes_from_receivers_to_a_trigger_and_back() -> None:
    async with functions() as to, role(to) as at:
        client = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{at.settings.api_port}",
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        made = await asyncio.to_thread(client.create_queue, QueueName="shop.q")
        url = made["QueueUrl"]
        await asyncio.to_thread(client.send_message, QueueUrl=url, MessageBody="one")
        receive = partial(client.receive_message, QueueUrl=url, WaitTimeSeconds=5)
        first = await asyncio.to_thread(receive, VisibilityTimeout=3600)
        assert first["Messages"][0]["Body"] == "one"
        await at.put(ORDERS, {"source": {"queue": {"name": "q"}}, "target": FUNCTION})
        send = partial(client.send_message, QueueUrl=url)
        await asyncio.to_thread(send, MessageBody="two", DelaySeconds=1)
        await until(called(to, 2), 20)
        assert sorted(call.body for call in to.calls) == [b"one", b"two"]
        await at.standings.delete(ORDERS)
        await asyncio.to_thread(send, MessageBody="three")

        async def received() -> bool:
            try:
                found = await asyncio.to_thread(receive)
            except client.exceptions.UnsupportedOperation:
                return False  # the Trigger is not forgotten yet
            return [each["Body"] for each in found.get("Messages", ())] == ["three"]

        await until(received, 20)


async def test_a_deleted_trigger_gets_nothing_more_and_leaves_nothing() -> None:
    async with functions(lambda _: 503) as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        await at.publish()
        await until(called(to, 1))
        await at.standings.delete(ORDERS)
        await at.standings.delete(ORDERS)
        assert await at.standings.survey() == []
        assert await at.standings.lags() == {}


async def test_how_many_events_a_deleted_trigger_drops_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION, "suspend": True})
        for number in (1, 2):
            await at.publish(number)

        async def waiting() -> bool:
            (standing,) = await at.standings.survey()
            return standing.lag + standing.waiting == 2

        await until(waiting)
        await at.standings.delete(ORDERS)
    (told,) = [each.__dict__["fields"] for each in caplog.records if "dropped" in each.message]
    assert (told["trigger"], told["events"]) == ("shop/orders", 2)
    assert "torpor replay shop/b --trigger" in told["hint"]


async def test_dead_letters_are_listed_redriven_and_purged() -> None:
    status = [400]
    async with functions(lambda _: status[0]) as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        for number in (1, 2):
            await at.publish(number)

        async def dead() -> bool:
            return (await at.standings.survey())[0].dead_letters == 2

        await until(dead)
        _, page = await at.ask("GET", "/v1/deadletters?namespace=shop&trigger=orders")
        letters = page["letters"]
        assert [letter["event"]["id"] for letter in letters] == ["1", "2"]
        assert await at.ask("GET", f"/v1/deadletters/{letters[0]['seq']}") == (200, letters[0])
        status[0] = 200
        body = {"namespace": "shop", "trigger": "orders", "limit": 1, "rate": 100}
        _, moved = await at.ask("POST", "/v1/deadletters/redrive", body)
        assert moved["moved"] == 1
        await until(called(to, 3))
        assert await at.ask("DELETE", "/v1/deadletters?namespace=shop") == (
            200,
            {"purged": 1, "after": None},
        )
        wrong = await at.ask("POST", "/v1/deadletters/redrive", {"rate": -1})
        assert wrong[0] == 400


async def test_what_comes_back_while_dead_letters_are_redriven_is_not_sent_again() -> None:
    async with functions(lambda _: 400) as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        for number in (1, 2, 3):
            await at.publish(number)
        given_up = 3

        async def came_back() -> bool:
            return len(to.calls) == given_up and (await at.standings.survey())[0].dead_letters == 3

        await until(came_back)
        body = {"namespace": "shop", "trigger": "orders", "limit": 1, "rate": 100}
        place: dict[str, int | None] = {"after": 0, "last": 0}
        while place["after"] is not None and given_up < 10:
            _, told = await at.ask("POST", "/v1/deadletters/redrive", {**body, **place})
            place = {"after": told["after"], "last": told["last"]}
            given_up += told["moved"]
            await until(came_back)
        assert (given_up, place) == (6, {"after": None, "last": 3})


async def test_a_bus_is_replayed() -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        for number in (1, 2):
            await at.publish(number)
        await until(called(to, 2))
        body = {"namespace": "shop", "bus": "b", "occasion": "x", "rate": 1000}
        status, told = await at.ask("POST", "/v1/replay", body)
        assert (status, told["events"], told["deliveries"]) == (200, 2, 2)
        await until(called(to, 4))
    assert to.ids == ["1", "2", "1", "2"]


async def test_a_trigger_is_tried_with_an_event() -> None:
    spec = {
        "source": BUS,
        "target": FUNCTION,
        "filter": {"pattern": {"data": {"n": [1]}}},
        "transform": {"jsonata": '{"twice": data.n * 2}'},
    }
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, spec)
        named = {"namespace": "shop", "name": "orders"}
        _, yes = await at.ask("POST", "/v1/test", {**named, "event": EVENT})
        _, no = await at.ask("POST", "/v1/test", {**named, "event": {"n": 2}})
        missing = await at.ask("POST", "/v1/test", {**named, "name": "x", "event": {}})
    assert (yes["matches"], yes["sent"], yes["target"]) == (True, {"twice": 2}, "function/handler")
    assert no["matches"] is False
    assert missing[0] == 422
    assert to.calls == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"source": {"schedule": {"cron": "* * * * *", "every": "1s"}}}, "exactly one of cron"),
        ({"filter": {"pattern": {"type": ["a"]}, "cesql": "TRUE"}}, "spec.filter"),
        ({"delivery": {"maxAttempts": 0}}, "spec.delivery.maxAttempts"),
        ({"delivery": {"retryOn": ["5xx"]}}, "spec.delivery.retryOn"),
        ({"target": {}}, "spec.target"),
        ({"source": {}}, "spec.source"),
    ],
)
async def test_a_wrong_trigger_that_is_tried_is_refused(spec: dict[str, Any], says: str) -> None:
    metadata = {"namespace": "shop", "name": "new"}
    obj = {"metadata": metadata, "spec": {"source": BUS, "target": FUNCTION, **spec}}
    async with functions() as to, role(to) as at:
        status, told = await at.ask("POST", "/v1/test", {"object": obj, "event": EVENT})
    assert (status, told["code"]) == (422, "invalid-trigger")
    assert says in told["detail"]


async def test_the_audit_finds_events_that_go_round() -> None:
    own = {"source": BUS, "target": {"bus": {"name": "b"}}}
    ping = {"source": {"bus": {"name": "ping"}}, "target": {"queue": {"name": "pong"}}}
    pong = {"source": {"queue": {"name": "pong"}}, "target": {"bus": {"name": "ping"}}}
    leaving = {"source": {"bus": {"name": "ping"}}, "target": {"bus": {"name": "b"}}}
    specs = {"own": own, "ping": ping, "pong": pong, "leaving": leaving}
    async with functions() as to, role(to) as at:
        for name, spec in specs.items():
            await at.put(FunctionKey("shop", name), spec)
        _, told = await at.ask("GET", "/v1/audit")
    ways = {
        each["trigger"]: each["detail"].partition(":")[0]
        for each in told["findings"]
        if each["finding"] == "loop"
    }
    assert ways == {
        "shop/own": "events can go round for ever, from bus b to bus b",
        "shop/ping": "events can go round for ever, from bus ping to queue pong to bus ping",
        "shop/pong": "events can go round for ever, from queue pong to bus ping to queue pong",
    }


async def test_the_audit_finds_triggers_of_no_use() -> None:
    gone = TargetFacts(False, 0.0, 1, 0, 0)
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        await at.put(FunctionKey("shop", "same"), {"source": BUS, "target": FUNCTION})
        spec = {"source": BUS, "target": {"function": {"name": "gone"}}}
        await at.put(FunctionKey("shop", "lost"), spec, gone)
        _, told = await at.ask("GET", "/v1/audit?days=0")
    found = {(each["trigger"], each["finding"]) for each in told["findings"]}
    assert {("shop/lost", "target-missing"), ("shop/orders", "overlap")} < found
    assert ("shop/same", "quiet") in found


async def test_readiness_says_that_the_broker_is_away_and_work_goes_on_when_it_is_back() -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, {"source": BUS, "target": FUNCTION})
        await asyncio.to_thread(at.nats.kill)

        async def away() -> bool:
            return not await at.is_ready()

        await until(away)
        assert "broker: JetStream is away: " in (await at.ready())[1]
        await asyncio.to_thread(at.nats.start)
        await until(at.is_ready, 30)
        await at.publish()
        await until(called(to, 1), 30)


async def test_a_broker_that_lost_its_disk_is_set_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assembly, "_STREAMS_KEPT_SECONDS", 0.2)
    spec = {"source": BUS, "target": FUNCTION}
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, spec)
        await at.publish(1)
        await until(called(to, 1))
        await asyncio.to_thread(at.nats.kill)
        await asyncio.to_thread(shutil.rmtree, at.nats._folder / "data")
        await asyncio.to_thread(at.nats.start)
        await until(at.is_ready, 30)

        async def forgotten() -> bool:
            return await at.standings.survey() == []

        await until(forgotten, 30)
        await at.put(ORDERS, spec)
        await at.publish(2)
        await until(called(to, 2), 60)
    assert to.ids == ["1", "2"]


async def test_only_the_installation_may_change_triggers() -> None:
    async with functions() as to, role(to) as at:
        url = f"http://127.0.0.1:{at.settings.internal_port}/v1/triggers"
        async with at.session.get(url) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (
                403,
                "forbidden",
            )


async def test_a_call_s_result_is_what_the_function_answered() -> None:
    async with (
        functions(lambda _: web.json_response({"ok": True}, status=201)) as to,
        role(to) as at,
    ):
        await at.put(ORDERS, {"source": {"http": {"async": True}}, "target": FUNCTION})
        base = f"http://127.0.0.1:{at.settings.api_port}"
        async with at.session.post(f"{base}/v1/namespaces/shop/triggers/orders") as taken:
            location = base + taken.headers["Location"]

        async def ended() -> bool:
            async with at.session.get(location) as answer:
                return answer.status == 201

        await until(ended)
        async with at.session.get(location) as answer:
            assert await answer.json() == {"ok": True}


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadSetting, match="TORPOR_STREAM_REPLICAS"):
        check(EventsSettings(stream_replicas=2))
    with pytest.raises(BadSetting, match="TORPOR_API_CLIENTS"):
        check(EventsSettings(api_clients="known"))
