"""Triggers with an http source, through a real HAProxy and through the in-process plane alike."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.haproxy import (
    HAPROXY,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    send,
)
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.http_table import HttpTable
from torpor.gateway.routes import Routes
from torpor.resources.http_route import Claims, claim_of
from torpor.settings import GatewaySettings

Plane = HaproxyPlane | InProcessDataPlane
PLANES = [pytest.param("haproxy", marks=needs_haproxy), "inprocess"]
pytestmark = pytest.mark.parametrize("kind", PLANES)
SHELF = (
    ({"path": "/items", "pathType": "Exact", "methods": ["GET"]}, "/list"),
    ({"path": "/items", "methods": ["GET", "DELETE"]}, "/one"),
    ({"path": "/", "methods": ["POST"]}, "/rest"),
    ({"path": "/", "pathType": "Exact", "methods": ["GET"]}, "/home/"),
    ({"path": "/open/", "pathType": "Exact", "methods": ["GET"]}, "/"),
    ({"path": "/a%2Fb//c", "pathType": "Exact", "methods": ["GET"]}, "/coded"),
    ({"path": "/", "host": "api.example", "methods": ["PATCH"]}, "/host"),
)
"""http sources, each with the path of its target."""
SEEN = (
    ("GET /items", "/list"),
    ("GET /items?a=b", "/list?a=b"),
    ("GET /items/", "/one/"),
    ("GET /items//", "/one//"),
    ("GET /items/7?a=b", "/one/7?a=b"),
    ("DELETE /items", "/one"),
    ("POST /items", "/rest/items"),
    ("POST /itemsheet", "/rest/itemsheet"),
    ("POST /v1/namespaces", "/rest/v1/namespaces"),
    ("GET /", "/home/"),
    ("GET /open/", "/"),
    ("GET /a%2Fb//c", "/coded"),
)
REFUSED = (
    ("PUT /items", "GET,POST,PATCH,DELETE"),
    ("PUT /items/7", "GET,POST,PATCH,DELETE"),
    ("PUT /", "GET,POST,PATCH"),
    ("PUT /open/", "GET,POST,PATCH"),
    *((f"GET {path}", "POST,PATCH") for path in ("//", "//items", "/itemsheet", "/%69tems")),
    *((f"GET {path}", "POST,PATCH") for path in ("/open", "/open/7", "/open//")),
    *((f"GET {path}", "POST,PATCH") for path in ("/a%2fb//c", "/a/b//c", "/a%2Fb/c")),
)


def routes(*sources: dict[str, Any]) -> Routes:
    """Routes of the Function shop/cart, and of a Trigger to it for each http source."""
    return routes_to(*((source, "/in") for source in sources))


def routes_to(*sources: tuple[dict[str, Any], str]) -> Routes:
    """Routes as above, each to a path of its own."""
    objects = [
        {
            "metadata": {"namespace": "shop", "name": f"t{number}"},
            "spec": {
                "source": {"http": source},
                "target": {"function": {"name": "cart", "path": path}},
            },
        }
        for number, (source, path) in enumerate(sources)
    ]
    claims = Claims(claim for obj in objects if (claim := claim_of(obj)))
    table = HttpTable.of(claims.routes(), events=True)
    return Routes.of([SHOP], "localhost", "cluster.local", table)


@asynccontextmanager
async def running(kind: str, events: Function) -> AsyncIterator[Plane]:
    if kind == "inprocess":
        local = InProcessDataPlane("127.0.0.1", 0, drain_seconds=0.1)
        local.set_events(Server("events", "127.0.0.1", events.port, 0))
        await local.start(ScriptedHolder())
        try:
            yield local
        finally:
            await local.stop()
        return
    with tempfile.TemporaryDirectory(prefix="torpor-hap-", ignore_cleanup_errors=True) as run:
        settings = GatewaySettings(
            http_port=0,
            peer_port=0,
            slots=5,
            run_directory=run,
            haproxy=HAPROXY,
            drain_seconds=0,
            events_url=f"http://127.0.0.1:{events.port}",
        )
        plane = HaproxyPlane(settings, listen_address="127.0.0.1")
        await plane.start(ScriptedHolder())
        try:
            yield plane
        finally:
            await plane.stop()


async def test_the_function_answers_at_the_triggers_address(kind: str) -> None:
    source = {"host": "api.example", "path": "/orders", "methods": ["GET", "POST"]}
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes(source))
        for path in ("/orders", "/orders/7?a=b", "/orders//x"):
            reply = await send(plane.port, path, host="API.example:8080")
            assert (reply.status, reply.body) == (200, b"one")
        await send(plane.port, "/orders", host="api.example", method="POST", body=b"new")
        assert [seen.path for seen in function.seen] == ["/in", "/in/7?a=b", "/in//x", "/in"]
        assert function.seen[-1].body == b"new"
        headers = function.seen[0].headers
        assert headers["x-torpor-function"] == "shop/cart"
        assert headers["x-forwarded-host"] == "API.example:8080"
        assert "x-torpor-path" not in headers


async def test_other_paths_methods_and_hosts_are_refused(kind: str) -> None:
    source = {"host": "api.example", "path": "/orders", "methods": ["GET", "POST"]}
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes(source))
        for host, path in (("api.example", "/ordersheet"), ("b.example", "/orders")):
            reply = await send(plane.port, path, host=host)
            assert json.loads(reply.body)["code"] == "unknown-function"
        reply = await send(plane.port, "/orders/7", host="api.example", method="DELETE")
        assert (reply.status, reply.headers["allow"]) == (405, "GET,POST")
        assert json.loads(reply.body)["code"] == "method-not-allowed"
        assert function.seen == []


async def test_the_longest_path_wins_and_a_functions_own_address_first_of_all(kind: str) -> None:
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(
            routes({"path": "/"}, {"path": "/a/b", "async": True}, {"path": "/a"})
        )
        host = "x.example"
        for path in ("/a/b/c", "/a/c", "/c"):
            await send(plane.port, path, host=host)
        await send(plane.port, "/a/b", host="cart.shop.localhost")
        await send(plane.port, "/function/shop/cart/a/b", host=host)
        paths = [seen.path for seen in function.seen]
        assert paths == ["/v1/namespaces/shop/triggers/t1", "/in/c", "/in/c", "/a/b", "/a/b"]
        reply = await send(plane.port, "/function/shop/other/", host=host)
        assert reply.status == 404


async def test_an_exact_path_is_taken_alone_and_before_a_prefix(kind: str) -> None:
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes_to(*SHELF))
        for asked, _ in SEEN:
            method, path = asked.split(" ")
            reply = await send(plane.port, path, host="api.example", method=method)
            assert reply.status == 200, asked
        asked_for = (asked for asked, _ in SEEN)
        assert [*zip(asked_for, (seen.path for seen in function.seen), strict=True)] == [*SEEN]


async def test_a_refusal_names_what_exact_paths_and_prefixes_would_take(kind: str) -> None:
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes_to(*SHELF))
        found = []
        for asked, _ in REFUSED:
            method, path = asked.split(" ")
            reply = await send(plane.port, path, host="api.example", method=method)
            assert (reply.status, json.loads(reply.body)["code"]) == (405, "method-not-allowed")
            found.append((asked, reply.headers["allow"]))
        assert found == [*REFUSED]
        reply = await send(plane.port, "/items", host="b.example", method="PUT")
        assert reply.headers["allow"] == "GET,POST,DELETE"
        assert function.seen == []


async def test_a_short_path_does_not_take_the_events_roles_addresses(kind: str) -> None:
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes({"path": "/"}, {"path": "/v1"}))
        for path in ("/v1/namespaces/shop/buses/media/events", "/v1/namespaces/shop/triggers/t"):
            reply = await send(plane.port, path, host="api.example", method="POST")
            assert (reply.status, json.loads(reply.body)["code"]) == (404, "unknown-function")
        assert function.seen == []


async def test_what_ends_an_address_cannot_be_asked_for(kind: str) -> None:
    exact = {"path": "/items", "pathType": "Exact"}
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))
        await plane.set_routes(routes(exact))
        for path in ("/items/#", "/items#", "/items/#/#"):
            assert (await send(plane.port, path, host="api.example")).status in (400, 404), path
        assert function.seen == []


async def test_asynchronous_requests_and_their_results_are_the_events_roles(kind: str) -> None:
    async with Function("events") as events, running(kind, events) as plane:
        await plane.set_routes(routes({"path": "/later", "async": True}))
        forged = {"X-Torpor-Path": "/forged", "X-Torpor-Function": "a/b"}
        reply = await send(
            plane.port, "/later/7?a=b", host="x", method="POST", body=b"hello", headers=forged
        )
        assert reply.body == b"events"
        reply = await send(plane.port, "/v1/namespaces/shop/calls/17", host="x")
        assert reply.body == b"events"
        first, second = events.seen
        assert (first.method, first.path) == ("POST", "/v1/namespaces/shop/triggers/t0?a=b")
        assert (first.body, first.headers["x-torpor-path"]) == (b"hello", "/later/7")
        assert "x-torpor-function" not in first.headers
        assert first.headers["x-request-id"]
        assert second.path == "/v1/namespaces/shop/calls/17"


async def test_routes_come_change_and_go_while_it_runs(kind: str) -> None:
    async with Function("one") as function, running(kind, function) as plane:
        await plane.apply(SHOP, open_lane(function.server()))

        async def status(path: str) -> int:
            return (await send(plane.port, path, host="x.example")).status

        await plane.set_routes(routes({"path": "/a"}))
        assert (await status("/a"), await status("/b")) == (200, 404)
        await plane.set_routes(routes({"path": "/b"}))
        assert (await status("/a"), await status("/b")) == (404, 200)
        await plane.set_routes(routes())
        assert (await status("/a"), await status("/b")) == (404, 404)
