"""Addresses, headers and refusals, through a real HAProxy."""

from __future__ import annotations

import asyncio
import json
import re
import socket

import pytest

from tests.support.haproxy import (
    GO,
    HOST,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    parked,
    receive,
    running_plane,
    sees_clients_leave,
    send,
    serving,
    until,
)
from torpor.gateway.dataplane.base import Go, Refused

pytestmark = needs_haproxy
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_a_function_answers_to_its_hosts_and_its_path() -> None:
    function = Function("one")
    async with serving(function) as plane:
        for host in (HOST, HOST.upper(), f"{HOST}:8080", f"{HOST}.", "cart.shop.svc", "cart.shop"):
            assert (await send(plane.port, "/a?b=c", host=host)).status == 200
        for path in ("", "/", "/x/y?z=1", "//x"):
            reply = await send(plane.port, f"/function/shop/cart{path}", host="elsewhere")
            assert reply.body == b"one"
    paths = [seen.path for seen in function.seen]
    assert paths == ["/a?b=c"] * 6 + ["/", "/", "/x/y?z=1", "//x"]


async def test_an_unknown_address_is_a_404_problem() -> None:
    async with running_plane(ScriptedHolder()) as plane:
        for path, host in (
            ("/", "other.shop.localhost"),
            ("/function/shop/cartx/", HOST),
            ("/function/", HOST),
            ("/function//cart", HOST),
        ):
            reply = await send(plane.port, path, host=host)
            body = json.loads(reply.body)
            assert reply.status == body["status"] == 404
            assert reply.headers["content-type"] == "application/problem+json"
            assert (body["code"], body["requestId"]) == (
                "unknown-function",
                reply.headers["x-request-id"],
            )


async def test_the_function_sees_who_asked_and_no_forged_headers() -> None:
    function = Function("one")
    async with serving(function) as plane:
        forged = {"X-Torpor-Function": "a/b", "X-Torpor-Again": "7", "X-Torpor-Evil": "1"}
        sent = {"X-Request-Id": "abc-123", "X-Forwarded-For": "9.9.9.9", **forged}
        reply = await send(plane.port, headers=sent)
        plain = await send(plane.port, headers={"X-Request-Id": "bad id {}"})
    first, second = (seen.headers for seen in function.seen)
    assert reply.headers["x-request-id"] == first["x-request-id"] == "abc-123"
    assert UUID.fullmatch(second["x-request-id"])
    assert plain.headers["x-request-id"] == second["x-request-id"]
    assert first["x-torpor-function"] == "shop/cart"
    assert not {"x-torpor-again", "x-torpor-evil"} & first.keys()
    assert first["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert second["x-forwarded-for"] == "127.0.0.1"
    assert second["x-forwarded-proto"] == "http"
    assert second["x-forwarded-host"] == second["host"] == HOST
    assert second["forwarded"] == f'for=127.0.0.1;host="{HOST}";proto=http'
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", second["traceparent"])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
async def test_clients_of_both_families_are_named_as_what_they_are() -> None:
    async with (
        Function("one") as function,
        running_plane(ScriptedHolder(), listen_address=None) as plane,
    ):
        await plane.apply(SHOP, open_lane(function.server()))
        for address in ("127.0.0.1", "::1"):
            await send(plane.port, address=address)
    told = [seen.headers for seen in function.seen]
    assert [headers["x-forwarded-for"] for headers in told] == ["127.0.0.1", "::1"]
    assert [headers["forwarded"].split(";")[0] for headers in told] == [
        "for=127.0.0.1",
        'for="[::1]"',
    ]


async def test_a_held_request_goes_on_once_released_and_says_how_long_it_took() -> None:
    holder = ScriptedHolder()
    async with (
        Function("one") as function,
        running_plane(holder) as plane,
    ):
        request = asyncio.create_task(send(plane.port, "/p", method="POST", body=b"hello"))
        await until(lambda: holder.held[SHOP] == 1)
        await asyncio.sleep(0.1)
        await plane.apply(SHOP, parked(function.server()))
        holder.answer(SHOP, Go(100))
        reply = await request
        await plane.apply(SHOP, open_lane(function.server()))
        warm = await send(plane.port)
    assert reply.status == 200
    assert function.seen[0].body == b"hello"
    assert 100 <= int(reply.headers["x-torpor-cold-start"]) < 2000
    assert "x-torpor-cold-start" not in warm.headers
    assert holder.asked[SHOP] == 1


async def test_a_refusal_is_a_problem_with_its_status_and_retry_after() -> None:
    holder = ScriptedHolder()
    async with running_plane(holder) as plane:
        detail = 'it said "no"\nand\\or % {x} ü'
        for status, retry in ((404, None), (429, 7), (502, None), (503, 3), (504, None)):
            refusal = Refused(status, "some-code", detail, retry)
            holder.answer(SHOP, refusal)
            reply = await send(plane.port, headers={"X-Request-Id": "id-1"}, method="POST")
            body = json.loads(reply.body)
            assert reply.status == body["status"] == status
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers.get("retry-after") == (str(retry) if retry else None)
            assert reply.headers["x-request-id"] == body["requestId"] == "id-1"
            assert (body["code"], body["detail"]) == ("some-code", detail)


async def test_without_python_a_held_request_is_told_to_try_again() -> None:
    async with running_plane(ScriptedHolder()) as plane:
        await plane._holds.stop()
        reply = await send(plane.port)
        body = json.loads(reply.body)
        assert (reply.status, body["code"]) == (503, "gateway-starting")
        assert reply.headers["retry-after"] == "1"
        assert body["requestId"] == reply.headers["x-request-id"]


@sees_clients_leave
async def test_a_client_that_leaves_while_held_frees_its_place() -> None:
    holder = ScriptedHolder()
    async with running_plane(holder) as plane:
        requests = [asyncio.create_task(send(plane.port)) for _ in range(20)]
        await until(lambda: holder.held[SHOP] == 20)
        for request in requests[:15]:
            request.cancel()
        await until(lambda: holder.held[SHOP] == 5)
        function = await Function("one").start()
        await plane.apply(SHOP, parked(function.server()))
        holder.answer(SHOP, GO)
        replies = await asyncio.gather(*requests[15:])
    await function.stop()
    assert [reply.status for reply in replies] == [200] * 5
    assert len(function.seen) == 5


async def test_haproxys_own_errors_are_problems_too() -> None:
    slow = Function("slow", delay_seconds=5.0)
    async with serving(slow, timeout_seconds=0.2) as plane:
        late = await send(plane.port)
        body = json.loads(late.body)
        assert (late.status, body["code"]) == (504, "timeout")
        assert body["requestId"] == late.headers["x-request-id"]


async def test_malformed_and_oversized_requests_are_refused() -> None:
    async with running_plane(ScriptedHolder()) as plane:
        bad = (
            b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
            b"POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : f\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: f\r\nHost: g\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: f\r\nX: a\0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: f\r\nX: " + b"a" * 65536 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: f\r\n"
            + b"".join(b"X%d: 1\r\n" % i for i in range(150))
            + b"\r\n",
        )
        for message in bad:
            reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            writer.write(message)
            async with asyncio.timeout(5):
                reply = await receive(reader)
            writer.close()
            assert reply.status == 400, message[:60]
