"""`torpor trigger`, `publish` and `dlq` by way of a cluster's API server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.cli.fake_cluster import FakeCluster, refusal
from torpor.cli.main import main
from torpor.resources.tokens import internal_token

KEY = b"k" * 32
TRIGGERS = "/apis/torpor.dev/v1alpha1"
SECRET = "/api/v1/namespaces/torpor-system/secrets/torpor-internal"
PROXY = "/api/v1/namespaces/torpor-system/services/torpor-events:"
Run = Callable[..., Awaitable[tuple[int, str, str]]]


def trigger(name: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"source": {"queue": {"name": "q"}}, "target": {"workflow": {"name": "w"}}},
        "status": status,
    }


def away(message: str) -> dict[str, Any]:
    return {"type": "Ready", "status": "False", "reason": "SourceAway", "message": message}


@dataclass
class ApiServer:
    """Triggers, the Secret with the installation's key, and a proxy to the events role."""

    triggers: dict[str, dict[str, Any]]
    has_role: bool = True
    has_secret: bool = True
    api_token: str = ""
    received: list[tuple[str, str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path
        if path == SECRET and self.has_secret:
            return web.json_response({"data": {"key": base64.b64encode(KEY).decode()}})
        if path.startswith(PROXY) and self.has_role:
            return await self._role(request, path.removeprefix(PROXY))
        if path.startswith(TRIGGERS):
            return await self._trigger(request)
        return refusal(404, f"{path} not found")

    async def _trigger(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name == "triggers":
            return web.json_response({"items": list(self.triggers.values())})
        found = self.triggers.get(name)
        if found is None:
            return refusal(404, f"triggers {name!r} not found")
        if request.method == "PATCH":
            found["spec"].update((await request.json())["spec"])
        return web.json_response(found)

    async def _role(self, request: web.Request, path: str) -> web.Response:
        body: Any = await request.json() if request.can_read_body else None
        self.received.append((request.method, path, body))
        if path.startswith("api/"):
            if self.api_token and request.headers.get("X-Torpor-Token") != self.api_token:
                return web.json_response({"detail": "Missing Authentication Token"}, status=401)
            told = {"id": body["id"], "source": body["source"], "duplicate": False}
            return web.json_response({"events": [told]}, status=202)
        if request.headers.get("X-Torpor-Token") != internal_token(KEY):
            return web.json_response({"detail": "the internal token is missing"}, status=403)
        return web.json_response({"letters": [], "after": None})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[tuple[ApiServer, str]]:
    found = ApiServer({})
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.handle)
    async with TestServer(app) as served:
        yield found, str(served.make_url("")).rstrip("/")


@pytest.fixture
def torpor(
    server: tuple[ApiServer, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    kubeconfig = str(FakeCluster(url=server[1]).kubeconfig(tmp_path))
    for name in ("TORPOR_EVENTS", "TORPOR_EVENTS_ADMIN", "TORPOR_EVENTS_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    async def run(*words: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, [*words, "--kubeconfig", kubeconfig])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


async def test_who_is_known_publishes_through_the_api_server(
    server: tuple[ApiServer, str], torpor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server[0].api_token = "hush"
    monkeypatch.delenv("TORPOR_EVENTS_API_TOKEN", raising=False)
    status, _, err = await torpor("publish", "b", "--id", "7")
    assert status == 1
    assert "Missing Authentication Token; set TORPOR_EVENTS_API_TOKEN" in err
    monkeypatch.setenv("TORPOR_EVENTS_API_TOKEN", "hush")
    assert (await torpor("publish", "b", "--id", "7"))[:2] == (0, "7\n")


async def test_triggers_are_read_from_the_api_server(
    server: tuple[ApiServer, str], torpor: Run
) -> None:
    server[0].triggers = {
        "a": trigger("a", lag=3, deadLetters=1, conditions=[away("no route")]),
        "b": trigger("b"),
    }
    _, out, _ = await torpor("trigger", "list")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["NAME", "READY", "SOURCE", "TARGET", "LAG", "DEAD", "AGE"]
    assert lines[1][:7] == ["a", "False", "(SourceAway)", "queue", "workflow/w", "3", "1"]
    assert lines[2][:6] == ["b", "Unknown", "(not", "seen", "yet)", "queue"]
    _, out, _ = await torpor("trigger", "show", "shop/a", "-o", "json")
    assert json.loads(out)["metadata"]["name"] == "a"
    _, out, _ = await torpor("trigger", "show", "a")
    assert "why           no route" in out
    status, _, err = await torpor("trigger", "show", "c")
    assert (status, "there is no Trigger shop/c" in err) == (1, True)


async def test_names_and_more_columns(server: tuple[ApiServer, str], torpor: Run) -> None:
    server[0].triggers = {"a": trigger("a", conditions=[away("no route")]), "b": trigger("b")}
    assert (await torpor("trigger", "list", "-o", "name"))[1] == (
        "trigger.torpor.dev/a\ntrigger.torpor.dev/b\n"
    )
    assert (await torpor("trigger", "show", "b", "-o", "name"))[1] == "trigger.torpor.dev/b\n"
    _, out, _ = await torpor("trigger", "list", "-o", "wide")
    header, line, _ = out.splitlines()
    assert header.endswith("WHY")
    assert line.endswith("no route")


async def test_a_pause_is_a_change_of_the_object(
    server: tuple[ApiServer, str], torpor: Run
) -> None:
    server[0].triggers = {"a": trigger("a")}
    assert (await torpor("trigger", "pause", "a"))[0] == 0
    assert server[0].triggers["a"]["spec"]["suspend"] is True
    assert (await torpor("trigger", "resume", "a"))[0] == 0
    assert server[0].triggers["a"]["spec"]["suspend"] is False
    assert (await torpor("trigger", "pause", "b"))[0] == 1


async def test_the_role_is_reached_through_the_api_server(
    server: tuple[ApiServer, str], torpor: Run
) -> None:
    status, out, err = await torpor("publish", "orders", "--id", "7", "-d", '{"n": 1}')
    assert (status, out) == (0, "7\n"), err
    method, path, body = server[0].received[0]
    assert (method, path) == ("POST", "api/proxy/v1/namespaces/shop/buses/orders/events")
    assert body["data"] == {"n": 1}
    status, _, err = await torpor("dlq", "list")
    assert (status, err) == (0, "torpor dlq: no dead letters\n")


async def test_what_stands_in_the_way_is_told(server: tuple[ApiServer, str], torpor: Run) -> None:
    server[0].has_role = False
    status, _, err = await torpor("publish", "orders")
    assert (status, "events.enabled=true" in err, "port-forward" in err) == (1, True, True)
    server[0].has_secret = False
    status, _, err = await torpor("dlq", "list")
    assert (status, "TORPOR_EVENTS_TOKEN" in err) == (1, True)
    status, _, err = await torpor("dlq", "list", "a", "-A")
    assert (status, "not both" in err) == (1, True)
