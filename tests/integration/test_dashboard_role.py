"""The dashboard's role: what it shows of a cluster, to whom, and when a part of it is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession

from tests.support.activator_rig import Rig, activator_rig
from tests.support.events_role import KEY, Role, free_port, role
from tests.support.fake_api import FakeApi
from tests.support.fake_platform import function
from tests.support.platform_rig import serving
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import needs_nats, until
from torpor.dashboard.cluster.role import run_dashboard
from torpor.gateway.admin import Admin
from torpor.gateway.dataplane.base import Go
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import TOKEN_HEADER, internal_token
from torpor.settings import DashboardSettings

pytestmark = needs_nats

ORDERS = FunctionKey("shop", "orders")
SPEC = {
    "source": {"bus": {"name": "b"}},
    "target": {"function": {"name": "handler"}},
    "delivery": {"maxAttempts": 1},
}
LETTERS = "/api/triggers/shop/orders/dead-letters"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = {
    "traceId": TRACE,
    "spanId": "00f067aa0ba902b7",
    "name": "pay",
    "kind": 2,
    "startTimeUnixNano": "1700000000000000000",
    "endTimeUnixNano": "1700000001000000000",
}
SERVICE = [{"key": "service.name", "value": {"stringValue": "pay"}}]
OTLP = {"resourceSpans": [{"resource": {"attributes": SERVICE}, "scopeSpans": [{"spans": [SPAN]}]}]}


@dataclass(frozen=True)
class Watched:
    """The role, and what it looks at."""

    settings: DashboardSettings
    client: ClientSession
    fake: FakeApi
    gateway: Rig
    events: Role

    async def ask(self, path: str, method: str = "GET", token: str | None = None) -> Any:
        url = f"http://127.0.0.1:{self.settings.dashboard_port}{path}"
        given = {TOKEN_HEADER: internal_token(KEY) if token is None else token}
        async with self.client.request(method, url, headers=given) as answer:
            return answer.status, await answer.json(content_type=None)

    async def is_ready(self) -> bool:
        url = f"http://127.0.0.1:{self.settings.metrics_port}/readyz"
        with contextlib.suppress(ClientError):
            async with self.client.get(url) as answer:
                return answer.status == 200
        return False


def refuses(_: Call) -> int:
    return 422


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    async with (
        serving() as (fake, api),
        activator_rig() as gateway,
        functions(refuses) as to,
        role(to) as events,
        ClientSession() as client,
    ):
        admin = Admin(gateway.activator, KEY)
        await admin.start("127.0.0.1", 0)
        settings = DashboardSettings(
            dashboard_port=free_port(),
            otlp_port=free_port(),
            metrics_port=free_port(),
            internal_port=admin.port,
            events_url=f"http://127.0.0.1:{events.settings.internal_port}",
        )
        stop = asyncio.Event()
        work = run_dashboard(settings, KEY, api, stop=stop, host="127.0.0.1")
        running = asyncio.create_task(work, name="dashboard")
        found = Watched(settings, client, fake, gateway, events)
        try:
            await until(found.is_ready, 10)
            yield found
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await running
            await admin.stop()


def put_pay(fake: FakeApi) -> None:
    status = {"replicas": {"desired": 1, "ready": 1, "starting": 0}, "reason": "in flight 1"}
    meta = {"namespace": "shop", "name": "pay"}
    fake.put("functions", {"metadata": meta, "spec": {}, "status": status})
    fake.put(
        "pods",
        {
            "metadata": {
                "namespace": "torpor-system",
                "name": "gateway-0",
                "labels": {
                    "app.kubernetes.io/name": "torpor",
                    "app.kubernetes.io/component": "gateway",
                },
            },
            "status": {"podIP": "127.0.0.1", "phase": "Running"},
        },
    )


async def test_it_shows_a_cluster_and_delivers_dead_letters_again() -> None:
    async with watched() as at:
        put_pay(at.fake)
        at.fake.put("triggers", {"metadata": {"namespace": "shop", "name": "orders"}, "spec": SPEC})
        key = at.gateway.platform.add(function("pay"))
        await at.gateway.settled()
        assert isinstance(await at.gateway.ask(key), Go)
        await at.events.put(ORDERS, SPEC)
        await at.events.publish(7)

        async def is_dead() -> bool:
            _, told = await at.ask("/api/snapshot")
            return [row["deadLetters"] for row in told["triggers"]] == [1]

        await until(is_dead, 20)
        status, told = await at.ask("/api/snapshot")
        assert (status, told["place"], told["problem"]) == (200, "cluster", "")
        [pay] = told["functions"]
        assert (pay["name"], pay["state"], pay["ready"]) == ("pay", "ready", 1)
        [cold] = pay["coldStarts"]
        assert cold["totalMs"] > 0
        assert [event["id"] for event in told["bus"]] == ["7"]
        assert told["cost"]["table"] == "own-nodes"
        assert [letter["event"]["id"] for letter in (await at.ask(LETTERS))[1]["letters"]] == ["7"]
        redriven = {"moved": 1, "left": 0, "after": None, "last": 1}
        assert await at.ask(f"{LETTERS}/redrive", "POST") == (200, redriven)


async def test_only_who_has_the_token_comes_in_and_anybody_tells_spans() -> None:
    async with watched() as at:
        assert (await at.ask("/api/snapshot", token=""))[0] == 403
        assert (await at.ask(f"{LETTERS}/redrive", "POST", token="wrong"))[0] == 403
        url = f"http://127.0.0.1:{at.settings.otlp_port}"
        async with at.client.post(f"{url}/v1/traces", json=OTLP) as answer:
            assert answer.status == 200
        async with at.client.get(f"{url}/api/snapshot") as answer:
            assert answer.status == 404
        _, tree = await at.ask(f"/api/traces/{TRACE}")
        assert [(span["name"], span["service"]) for span in tree["tree"]] == [("pay", "pay")]


async def test_a_role_that_is_away_is_said_and_the_rest_goes_on() -> None:
    async with watched() as at:
        put_pay(at.fake)
        at.fake.put("triggers", {"metadata": {"namespace": "shop", "name": "orders"}, "spec": SPEC})
        at.events.stop.set()

        async def is_away() -> bool:
            return "the events role" in (await at.ask("/api/snapshot"))[1]["problem"]

        await until(is_away, 20)
        _, told = await at.ask("/api/snapshot")
        assert [row["name"] for row in told["functions"]] == ["pay"]
        status, problem = await at.ask(LETTERS)
        assert (status, problem["code"]) == (503, "role-away")
        gateway = at.fake.find("pods", "torpor-system", "gateway-0")
        assert gateway is not None
        gateway["status"]["podIP"] = "127.0.0.2"
        at.fake.put("pods", gateway)
        _, told = await at.ask("/api/snapshot")
        assert "functions: no gateway answers" in told["problem"]
        assert [row["name"] for row in told["functions"]] == ["pay"]
