"""`torpor dashboard`: the way to a cluster's page, passed on with the token and guarded here."""

from __future__ import annotations

import argparse
import asyncio
import base64
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tests.unit.cli.fake_cluster import FakeCluster
from torpor.cli.dashboardpass import passing
from torpor.cli.dashboardreach import connect
from torpor.cli.main import main
from torpor.dashboard.server import served
from torpor.resources.tokens import TOKEN_HEADER, internal_token

KEY = b"k" * 32
PROXY = "/api/v1/namespaces/torpor-system/services/torpor-dashboard:http/proxy"
SECRET = "/api/v1/namespaces/torpor-system/secrets/torpor-internal"
PAGE = {"X-Torpor-Dashboard": "test"}


class Api:
    """An API server with a dashboard behind it, which may be missing."""

    def __init__(self) -> None:
        self.installed = True
        self.posted: list[str] = []
        self.more = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == SECRET:
            return web.json_response({"data": {"key": base64.b64encode(KEY).decode()}})
        if not (self.installed and request.path.startswith(PROXY)):
            told = {"kind": "Status", "message": 'services "torpor-dashboard" not found'}
            return web.json_response(told, status=404)
        if request.headers.get(TOKEN_HEADER) != internal_token(KEY):
            return web.json_response({"detail": "the internal token is missing"}, status=403)
        return await self._dashboard(request, request.path_qs.removeprefix(PROXY))

    async def _dashboard(self, request: web.Request, path: str) -> web.StreamResponse:
        if request.method == "POST":
            self.posted.append(path)
        if path != "/events":
            return web.json_response({"path": path})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await self.more.wait()
        await response.write(b"data: 2\n\n")
        return response


@pytest_asyncio.fixture
async def api() -> AsyncIterator[tuple[Api, str]]:
    found = Api()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.handle)
    async with TestServer(app) as server:
        yield found, str(server.make_url("")).rstrip("/")


@pytest.fixture
def kubeconfig(api: tuple[Api, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("TORPOR_DASHBOARD", "TORPOR_DASHBOARD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return str(FakeCluster(url=api[1]).kubeconfig(tmp_path))


@asynccontextmanager
async def passed_on(kubeconfig: str) -> AsyncIterator[str]:
    args = argparse.Namespace(
        dashboard=None, kubeconfig=kubeconfig, context=None, torpor_namespace="torpor-system"
    )
    async with connect(args) as dashboard, served(passing(dashboard), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


async def test_everything_is_passed_on_with_the_token(
    api: tuple[Api, str], kubeconfig: str
) -> None:
    async with passed_on(kubeconfig) as url, ClientSession() as client:
        async with client.get(f"{url}/api/traces?a=%20b") as answer:
            assert await answer.json() == {"path": "/api/traces?a=%20b"}
            assert answer.headers["Cache-Control"] == "no-store"
        async with client.post(f"{url}/api/x/redrive", headers=PAGE) as answer:
            assert answer.status == 200
    assert api[0].posted == ["/api/x/redrive"]


async def test_the_stream_is_passed_on_as_it_comes(api: tuple[Api, str], kubeconfig: str) -> None:
    async with (
        passed_on(kubeconfig) as url,
        ClientSession() as client,
        client.get(f"{url}/events") as answer,
    ):
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        api[0].more.set()
        assert await answer.content.readuntil(b"\n\n") == b"data: 2\n\n"


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example", **PAGE}, {"Origin": "http://evil.example", **PAGE}, {}]
)
async def test_only_pages_of_this_port_use_the_token(
    api: tuple[Api, str], kubeconfig: str, headers: dict[str, str]
) -> None:
    async with (
        passed_on(kubeconfig) as url,
        ClientSession() as client,
        client.post(f"{url}/api/x/redrive", headers=headers) as answer,
    ):
        assert answer.status == 403
    assert api[0].posted == []


async def test_where_there_is_none_it_says_how_to_have_one(
    api: tuple[Api, str], kubeconfig: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api[0].installed = False
    status = await asyncio.to_thread(main, ["dashboard", "--kubeconfig", kubeconfig])
    assert status == 1
    assert "dashboard.enabled=true" in capsys.readouterr().err


async def test_a_token_that_is_not_the_one_is_said(
    api: tuple[Api, str],
    kubeconfig: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORPOR_DASHBOARD_TOKEN", "other")
    status = await asyncio.to_thread(main, ["dashboard", "--kubeconfig", kubeconfig])
    assert status == 1
    assert "the internal token is missing" in capsys.readouterr().err


async def test_that_of_torpor_dev_is_where_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = web.Application()
    app.router.add_get("/api/traces", _no_traces)
    async with served(app, "127.0.0.1", 0) as port:
        monkeypatch.setenv("TORPOR_DASHBOARD", f"http://127.0.0.1:{port}/")
        monkeypatch.delenv("TORPOR_DASHBOARD_TOKEN", raising=False)
        assert await asyncio.to_thread(main, ["dashboard"]) == 0
        assert capsys.readouterr().out == f"dashboard: http://127.0.0.1:{port}\n"
        monkeypatch.setattr(webbrowser, "open", lambda _: False)
        assert await asyncio.to_thread(main, ["dashboard", "--open"]) == 0
    assert f"no browser here: open http://127.0.0.1:{port} in one" in capsys.readouterr().err


async def _no_traces(_: web.Request) -> web.Response:
    return web.json_response({"traces": []})
