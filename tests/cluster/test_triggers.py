"""Triggers on the cluster: events wake Functions at zero, and what is wrong is told or refused."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.cluster.api import Json, Refused, condition, until
from tests.cluster.harness import SCALING_QUICK, SETTINGS, SYSTEM, Lab
from tests.cluster.traffic import GATEWAY
from tests.support.servers.versitygw import needs_versitygw, object_server
from torpor.platform.kubernetes.resources import DEPLOYMENTS, PODS, TRIGGERS
from torpor.resources.names import API_VERSION

pytestmark = pytest.mark.timeout(300)

EVENTS = os.environ.get("TORPOR_TEST_EVENTS", f"http://127.0.0.1:{SETTINGS.events_port}")
"""The events API: the node port that tests/cluster/events-port.yaml gives it."""
DATABASE = os.environ.get("TORPOR_TEST_POSTGRESQL", "torpor-test/postgresql:dev")
WORKER = """\
import json, os, time, urllib.request

def handler(event, context):
    time.sleep(float(os.environ.get("SECONDS", "0")))
    seen = {"id": event.headers.get("ce-id"), "type": event.headers.get("ce-type")}
    seen.update(method=event.method, path=event.path, text=event.text)
    namespace = context.function.partition("/")[0]
    urllib.request.urlopen(
        urllib.request.Request(f"http://seen.{namespace}.svc/", json.dumps(seen).encode()),
        timeout=30,
    ).close()
    return {"worked": True}
"""
COLLECTOR = """\
SEEN = []

def handler(event, context):
    if event.method == "POST":
        SEEN.append(event.json())
    return SEEN
"""
FUNCTION = {"function": {"name": "worker"}}
QUEUE = {"queue": {"name": "jobs"}}


@pytest.fixture(autouse=True)
async def events_role(lab: Lab) -> None:
    found = await lab.api.find(DEPLOYMENTS.path(SYSTEM, "torpor-events"))
    if not (found or {}).get("status", {}).get("readyReplicas"):
        pytest.skip(f"no events role in {SYSTEM}: run `make cluster-install`")


async def test_a_schedule_wakes_a_function(lab: Lab) -> None:
    await workers(lab)
    at = datetime.now(UTC) + timedelta(seconds=10)
    await apply(lab, "once", source={"schedule": {"at": at.strftime("%Y-%m-%dT%H:%M:%SZ")}})
    [found] = await seen(lab, 1)
    print("seen:", found)
    await lab.zero("worker", within=120)


async def test_a_message_of_a_queue_wakes_a_function(lab: Lab) -> None:
    await workers(lab)
    await apply(lab, "jobs", source=QUEUE)
    await publish(lab, "queues/jobs", "order.placed", {"order": 7})
    [found] = await seen(lab, 1)
    assert (found["type"], json.loads(found["text"])) == ("order.placed", {"order": 7})
    await lab.zero("worker", within=120)


@needs_versitygw
async def test_an_object_put_into_a_bucket_wakes_a_function(lab: Lab) -> None:
    await workers(lab)
    await apply(lab, "uploads", source={"storage": {"bucket": "pictures", "suffix": ".png"}})
    hook = f"{EVENTS}/v1/namespaces/{lab.namespace}/storage"
    async with object_server(hook) as store:
        client = await asyncio.to_thread(store.client)
        await asyncio.to_thread(client.create_bucket, Bucket="pictures")
        for name in ("a.txt", "b.png"):
            await asyncio.to_thread(client.put_object, Bucket="pictures", Key=name, Body=b"x")
        [found] = await seen(lab, 1)
    assert "b.png" in found["text"]
    await lab.zero("worker", within=120)


async def test_a_changed_row_wakes_a_function(lab: Lab) -> None:
    await workers(lab)
    dsn = await database(lab)
    await sql(lab, "CREATE TABLE orders (id int PRIMARY KEY, total int)")
    await lab.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "database", "namespace": lab.namespace},
            "stringData": {"dsn": dsn},
        }
    )
    await apply(lab, "rows", source={"postgres": {"secret": "database", "tables": ["orders"]}})
    await sql(lab, "INSERT INTO orders VALUES (1, 250)")
    [found] = await seen(lab, 1)
    print("seen:", found)
    assert "250" in found["text"]
    await lab.zero("worker", within=120)
    await lab.api.delete(TRIGGERS.path(lab.namespace, "rows"))
    await until("no slot is left", lambda: no_slot(lab), within=60, every=1.0)


async def test_a_handler_that_takes_longer_than_the_ack_wait_is_delivered_to_once(
    lab: Lab,
) -> None:
    await workers(lab, seconds=12)
    await apply(lab, "jobs", source=QUEUE)
    await publish(lab, "queues/jobs", "slow.job", {})
    await seen(lab, 1, within=90)
    await lab.zero("worker", within=120)
    assert len(await collected(lab)) == 1


async def test_requests_of_an_http_source_go_straight_to_the_function_or_are_kept(
    lab: Lab,
) -> None:
    await workers(lab)
    host = f"{lab.namespace}.example"
    await apply(lab, "api", source={"http": {"host": host, "path": "/api", "methods": ["POST"]}})
    later = {"http": {"host": host, "path": "/later", "async": True}}
    await apply(lab, "later", source=later)
    async with aiohttp.ClientSession(f"http://{GATEWAY}", headers={"Host": host}) as client:
        # Gateways hear of an address soon after the controller does.
        await until("the address is known", lambda: answers(client, "/api/7", 200), within=10)
        async with client.get("/api/7") as refused:
            assert (refused.status, refused.headers["Allow"]) == (405, "POST")
        async with client.post("/later/8", json={"a": 1}) as taken:
            assert taken.status == 202
            place = taken.headers["Location"]
        await until("the call's result", lambda: result(client, place), within=60, every=1.0)
    paths = {item["path"] for item in await seen(lab, 2)}
    assert "/7" in paths


async def test_kubectl_shows_source_target_and_lag(lab: Lab) -> None:
    await workers(lab)
    await apply(lab, "jobs", source=QUEUE)
    text = await lab.kubectl("get", "triggers")
    [row] = [line.split() for line in text.splitlines()[1:]]
    assert row[:6] == ["jobs", "True", "queue", "function/worker", "0", "0"]


async def test_what_is_missing_or_taken_is_in_ready(lab: Lab) -> None:
    await lab.api.apply(trigger(lab, "early", source=QUEUE))
    assert (await not_ready(lab, "early"))["reason"] == "TargetMissing"
    await publish(lab, "queues/jobs", "early", {"n": 1})
    await workers(lab)
    await until("early Ready", lambda: ready(lab, "early"), within=30)
    assert (await seen(lab, 1))[0]["type"] == "early"
    await lab.api.apply(trigger(lab, "second", source=QUEUE))
    found = await not_ready(lab, "second")
    assert (found["reason"], "early" in found["message"]) == ("QueueTaken", True)
    pattern = {"detail": {"a": [{"numeric": [">"]}]}}
    bus = {"bus": {"name": "b"}}
    await lab.api.apply(trigger(lab, "wrong", source=bus, filter={"pattern": pattern}))
    found = await not_ready(lab, "wrong")
    print(found["message"])
    assert found["reason"] == "InvalidPattern"


BUS = {"bus": {"name": "b"}}
WRONG = [
    ({"source": {}}, "exactly one of http, schedule"),
    ({"source": {**BUS, **QUEUE}}, "exactly one of http, schedule"),
    ({"target": {}}, "exactly one of function, workflow"),
    ({"target": {**FUNCTION, **BUS}}, "exactly one of function, workflow"),
    ({"target": BUS, "batch": {"size": 3}}, "takes events one by one"),
    ({"source": {"http": {}}, "target": QUEUE}, "nothing to answer with"),
    ({"source": {"http": {}}, "filter": {"cesql": "TRUE"}}, "are for events"),
    ({"source": {"http": {"path": "/function/a"}}}, "the gateway's own"),
    ({"source": {"http": {"path": "/a?b"}}}, "should match"),
    ({"source": {"schedule": {"every": "1m", "cron": "* * * * *"}}}, "exactly one of cron"),
    ({"source": {"schedule": {"every": "1 day"}}}, "should match"),
    ({"source": {"queue": {"name": "No!"}}}, "should match"),
    ({"source": {"kafka": {"brokers": ["a"], "topics": ["t"]}}}, "should match"),
    ({"source": {"mqtt": {"url": "mqtt://a", "topics": ["#"], "qos": 3}}}, "qos"),
    ({"filter": {"pattern": {"a": [1]}, "cesql": "TRUE"}}, "pattern or cesql, not both"),
    ({"transform": {"jsonata": "a", "input": 1}}, "Too many"),
    ({"batch": {"size": 0}}, "batch.size"),
    ({"delivery": {"backoff": {"initialSeconds": 9, "maxSeconds": 8}}}, "not be more than"),
    ({"delivery": {"maxAttempts": 0}}, "maxAttempts"),
    ({"deadLetter": {"target": {}}}, "exactly one of function, workflow"),
]


@pytest.mark.parametrize(("spec", "told"), WRONG)
async def test_the_api_server_refuses(lab: Lab, spec: Mapping[str, Any], told: str) -> None:
    with pytest.raises(Refused) as refused:
        await lab.api.apply(trigger(lab, "wrong", **{"source": BUS, **spec}))
    assert refused.value.status == 422
    assert told in str(refused.value)


async def test_the_source_of_a_trigger_stays(lab: Lab) -> None:
    await lab.api.apply(trigger(lab, "stays", source=BUS))
    for source in ({"bus": {"name": "other"}}, QUEUE):
        with pytest.raises(Refused) as refused:
            await lab.api.apply(trigger(lab, "stays", source=source))
        assert "delete the Trigger and create it anew" in str(refused.value)
    await lab.api.apply(trigger(lab, "stays", source=BUS, suspend=True))


async def test_what_looks_like_a_default_is_not_refused(lab: Lab) -> None:
    await lab.api.apply(trigger(lab, "plain", source={"http": {}}))
    await lab.api.apply(trigger(lab, "cesql", source=BUS, filter={"cesql": "type = 'a'"}))
    await lab.api.apply(trigger(lab, "input", source=BUS, transform={"input": {"a": "${data}"}}))


def trigger(lab: Lab, name: str, **spec: Any) -> Json:
    meta = {"name": name, "namespace": lab.namespace}
    whole = {"target": FUNCTION, **spec}
    return {"apiVersion": API_VERSION, "kind": "Trigger", "metadata": meta, "spec": whole}


async def apply(lab: Lab, name: str, **spec: Any) -> None:
    """Apply a Trigger and wait until it is Ready."""
    await lab.api.apply(trigger(lab, name, **spec))
    await until(f"Trigger {name} Ready", lambda: ready(lab, name), within=60)


async def ready(lab: Lab, name: str) -> bool | None:
    found = condition(await lab.api.get(TRIGGERS.path(lab.namespace, name)), "Ready")
    return True if found.get("status") == "True" else None


async def not_ready(lab: Lab, name: str) -> Mapping[str, Any]:
    """Return the condition Ready once it is False."""

    async def told() -> Mapping[str, Any] | None:
        found = condition(await lab.api.get(TRIGGERS.path(lab.namespace, name)), "Ready")
        return found if found.get("status") == "False" else None

    return await until(f"Trigger {name} not Ready", told, within=30)


async def workers(lab: Lab, seconds: float = 0) -> None:
    """Make the Function that is woken, and the one that remembers what it was given."""
    await lab.make(
        "seen",
        runtime="python3",
        handler="main.handler",
        code={"inline": COLLECTOR},
        scaling={"minReplicas": 1, "maxReplicas": 1},
    )
    await lab.make(
        "worker",
        runtime="python3",
        handler="main.handler",
        code={"inline": WORKER},
        env=[{"name": "SECONDS", "value": str(seconds)}],
        timeoutSeconds=60,
        scaling=dict(SCALING_QUICK),
    )
    await lab.replicas("seen", 1, within=90)
    await lab.zero("worker")


async def collected(lab: Lab) -> list[Json]:
    """Return what the worker was given so far."""
    async with (
        aiohttp.ClientSession(f"http://{GATEWAY}") as client,
        client.get(f"/function/{lab.namespace}/seen/") as answer,
    ):
        assert answer.status == 200, await answer.text()
        return list(await answer.json())


async def seen(lab: Lab, least: int, within: float = 60) -> list[Json]:
    """Return what the worker was given once it is so much."""

    async def enough() -> list[Json] | None:
        found = await collected(lab)
        return found if len(found) >= least else None

    return await until(f"{least} events at the worker", enough, within, every=0.5)


async def publish(lab: Lab, place: str, kind: str, data: Any) -> None:
    """Publish a CloudEvent in binary mode to a bus or queue of the test's namespace."""
    headers = {"ce-specversion": "1.0", "ce-id": f"{kind}-1", "ce-source": "/test", "ce-type": kind}
    url = f"{EVENTS}/v1/namespaces/{lab.namespace}/{place}/events"
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(url, json=data) as answer,
    ):
        assert answer.status == 202, await answer.text()


async def answers(client: aiohttp.ClientSession, path: str, status: int) -> bool | None:
    async with client.post(path, data=b"{}") as answer:
        return True if answer.status == status else None


async def result(client: aiohttp.ClientSession, place: str) -> Any:
    async with client.get(place) as answer:
        return await answer.text() or "" if answer.status == 200 else None


async def database(lab: Lab) -> str:
    """Start a PostgreSQL that decodes; return its address."""
    container = {
        "name": "postgresql",
        "image": DATABASE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-c", "wal_level=logical"],
        "env": [
            {"name": "POSTGRES_USER", "value": "shop"},
            {"name": "POSTGRES_PASSWORD", "value": "shop"},
        ],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}},
    }
    meta = {"name": "database", "namespace": lab.namespace}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    await lab.api.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    async def address() -> str | None:
        found = await lab.api.get(PODS.path(lab.namespace, "database"))
        up = condition(found, "Ready").get("status") == "True"
        return str(found["status"]["podIP"]) if up else None

    host = await until("the database Ready", address, within=90)
    return f"postgresql://shop:shop@{host}:5432/shop"


async def sql(lab: Lab, statement: str) -> str:
    """Run a statement in the database and return what it printed."""
    words = ("psql", "-U", "shop", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement)
    return await lab.kubectl("exec", "database", "--", *words)


async def no_slot(lab: Lab) -> bool | None:
    text = await sql(lab, "SELECT count(*) FROM pg_replication_slots")
    return True if text.strip() == "0" else None
