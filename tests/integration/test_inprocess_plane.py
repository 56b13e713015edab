"""The in-process data plane over real sockets, with a holder that the test decides for."""

# ruff: noqa: SIM117 - a client nested in its server reads in the order of what happens

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web

from torpor.gateway.dataplane.base import Go, Lane, Refused, Server
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.heldspans import HeldSpans
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey
from torpor.telemetry.tracing import Span

KEY = FunctionKey("shop", "cart")
HOST = {"Host": "cart.shop.localhost"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Door:
    """A holder: every request waits for the next verdict."""

    verdicts: asyncio.Queue[Go | Refused] = field(default_factory=asyncio.Queue)
    waiting: int = 0
    left: int = 0

    async def hold(self, key: FunctionKey) -> Go | Refused:
        self.waiting += 1
        try:
            return await self.verdicts.get()
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.waiting -= 1


@dataclass
class Pod:
    """A server that records what it gets, and answers when `gate` is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    inside: int = 0
    most: int = 0
    order: list[str] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(request.query.get("n", ""))
        try:
            body = await request.read()
            await self.gate.wait()
        finally:
            self.inside -= 1
        seen = {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(body),
        }
        return web.Response(text=json.dumps(seen), headers={"X-Torpor-Secret": "no"})


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(door: Door, **options: float) -> AsyncIterator[InProcessDataPlane]:
    plane = InProcessDataPlane("127.0.0.1", 0, drain_seconds=1, **options)
    await plane.start(door)
    await plane.set_routes(Routes.of([KEY], "localhost", "cluster.local"))
    try:
        yield plane
    finally:
        await plane.stop()


@asynccontextmanager
async def pod(*, open_gate: bool = True) -> AsyncIterator[Pod]:
    found = Pod()
    if open_gate:
        found.gate.set()
    async with listening(found.answer) as found.port:
        yield found


def lane(*ports: int, is_open: bool = True, limit: int = 0, timeout: float = 5) -> Lane:
    servers = tuple(Server(f"p{port}", "127.0.0.1", port, limit) for port in ports)
    return Lane(is_open, servers, timeout)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the other side is a socket
            await asyncio.sleep(0.01)


def url(plane: InProcessDataPlane, path: str = "/") -> str:
    return f"http://127.0.0.1:{plane.port}{path}"


async def raw(port: int, sent: bytes) -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b"application/problem+json" in answer
            body = await reader.readline()
    finally:
        writer.close()
    return int(answer.split()[1]), json.loads(body)


_HOST = b"Host: cart.shop.localhost\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /" + 16_000 * b"a" + b" HTTP/1.1\r\n" + _HOST, 414, "uri-too-long"),
        (b"GET / HTTP/1.1\r\nA: " + 16_000 * b"a" + b"\r\n" + _HOST, 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + 4 * (b"A: " + 4000 * b"a" + b"\r\n") + _HOST, 431,
         "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + 101 * b"A: b\r\n" + _HOST, 431, "headers-too-large"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\n" + _HOST, 400, "bad-request"),
        (b"GET / HTTP/1.1\r\n", 400, "bad-request"),
        (b"no HTTP", 400, "bad-request"),
        (b"OPTIONS * HTTP/1.1\r\n" + _HOST, 400, "bad-request"),
        (b"CONNECT a:80 HTTP/1.1\r\n" + _HOST, 400, "bad-request"),
    ],
)  # fmt: skip
async def test_what_cannot_be_taken_is_a_problem_and_is_not_logged(
    sent: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with pod() as server, serving(Door()) as plane:
        await plane.apply(KEY, lane(server.port))
        got, problem = await raw(plane.port, sent + b"\r\n\r\n")
        assert not server.order
    assert (got, problem["code"], problem["status"]) == (status, code, status)
    assert len(problem["detail"].splitlines()) == 1
    assert not caplog.records


async def test_a_large_head_that_haproxy_takes_is_taken() -> None:
    head = {**HOST, **{f"X-{n}": 5_000 * "a" for n in range(3)}}
    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))
        async with client.get(url(plane), headers=head) as answer:
            assert answer.status == 200


async def test_a_request_reaches_the_function_as_it_was_sent_and_headers_are_added() -> None:
    sent = {
        **HOST,
        "X-Torpor-Function": "forged",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "X-Forwarded-For": "10.0.0.9",
        "X-Request-Id": "r-1",
        "Cookie": "a=b",
    }
    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))
        path = "/a%2Fb/%C3%A9?x=%20y&z"
        async with client.put(
            f"http://127.0.0.1:{plane.port}/function/shop/cart" + path, data=b"abc", headers=sent
        ) as answer:
            seen = await answer.json(content_type=None)
    headers = seen["headers"]
    assert seen["method"] == "PUT"
    assert seen["target"] == "/a%2Fb/%C3%A9?x=%20y&z"
    assert seen["bytes"] == 3
    assert headers["host"] == "cart.shop.localhost"
    assert headers["cookie"] == "a=b"
    assert headers["x-torpor-function"] == "shop/cart"
    assert "x-hop" not in headers
    assert headers["x-forwarded-for"] == "10.0.0.9, 127.0.0.1"
    assert headers["forwarded"] == 'for=127.0.0.1;host="cart.shop.localhost";proto=http'
    assert headers["x-request-id"] == "r-1"
    assert headers["traceparent"].startswith("00-")
    assert answer.headers["X-Request-Id"] == "r-1"
    assert "X-Torpor-Secret" not in answer.headers


async def test_an_unknown_address_is_404_as_a_problem() -> None:
    async with serving(Door()) as plane, ClientSession() as client:
        async with client.get(url(plane), headers={"Host": "other.localhost"}) as answer:
            body = await answer.json(content_type="application/problem+json")
    assert (answer.status, body["code"]) == (404, "unknown-function")
    assert body["requestId"] == answer.headers["X-Request-Id"]


async def test_a_held_request_goes_on_with_its_body_when_it_may() -> None:
    door = Door()
    async with pod() as server, serving(door) as plane, ClientSession() as client:
        request = asyncio.create_task(client.post(url(plane), data=b"x" * 500_000, headers=HOST))
        await until(lambda: door.waiting == 1)
        await plane.apply(KEY, lane(server.port, is_open=False))
        door.verdicts.put_nowait(Go(cold_ms=321))
        answer = await request
        assert (await answer.json(content_type=None))["bytes"] == 500_000
    assert answer.headers["X-Torpor-Cold-Start"] == "321"


async def test_a_refusal_is_told() -> None:
    door = Door()
    door.verdicts.put_nowait(Refused(503, "cannot-start", "ImagePullBackOff: no", 7))
    async with serving(door) as plane, ClientSession() as client:
        async with client.get(url(plane), headers=HOST) as answer:
            body = await answer.json(content_type="application/problem+json")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert (body["code"], body["detail"]) == ("cannot-start", "ImagePullBackOff: no")


async def test_a_client_that_leaves_while_held_frees_its_place() -> None:
    door = Door()
    async with serving(door) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: cart.shop.localhost\r\n\r\n")
        await until(lambda: door.waiting == 1)
        writer.transport.abort()
        await until(lambda: door.left == 1)
        assert door.waiting == 0
        del reader


async def test_the_limit_is_never_exceeded_and_the_queue_is_first_come_first_served() -> None:
    async with pod(open_gate=False) as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port, limit=2))
        requests = []
        for number in range(8):
            task = asyncio.create_task(client.get(url(plane, f"/?n={number}"), headers=HOST))
            requests.append(task)
            arrived = number + 1
            while True:
                load = (await plane.loads()).get(KEY)
                if load and load.in_flight + load.queued == arrived:
                    break
                await asyncio.sleep(0.005)
        await until(lambda: server.inside == 2)
        load = (await plane.loads())[KEY]
        assert (load.in_flight, load.queued) == (2, 6)
        server.gate.set()
        for request in requests:
            assert (await request).status == 200
    assert server.most == 2
    assert server.order == [str(number) for number in range(8)]
    assert (load.requests, load.instances) == (2, {f"p{server.port}": 2})


async def test_a_new_server_takes_from_the_queue_and_the_least_busy_is_chosen() -> None:
    async with pod(open_gate=False) as first, pod(open_gate=False) as second:
        async with serving(Door()) as plane, ClientSession() as client:
            await plane.apply(KEY, lane(first.port, limit=3))
            requests = [asyncio.create_task(client.get(url(plane), headers=HOST)) for _ in range(5)]
            await until(lambda: first.inside == 3)
            await plane.apply(KEY, lane(first.port, second.port, limit=3))
            await until(lambda: second.inside == 2)
            first.gate.set()
            second.gate.set()
            assert [(await request).status for request in requests] == [200] * 5


async def test_queued_requests_are_held_again_when_the_last_server_leaves() -> None:
    door = Door()
    async with pod(open_gate=False) as old, pod() as new:
        async with serving(door) as plane, ClientSession() as client:
            await plane.apply(KEY, lane(old.port, limit=1))
            first = asyncio.create_task(client.get(url(plane), headers=HOST))
            await until(lambda: old.inside == 1)
            second = asyncio.create_task(client.get(url(plane), headers=HOST))
            await plane.apply(KEY, lane(old.port, limit=1, is_open=False))
            await plane.apply(KEY, None)
            await until(lambda: door.waiting == 1)
            await plane.apply(KEY, lane(new.port, limit=1))
            door.verdicts.put_nowait(Go(None))
            assert (await second).status == 200
            old.gate.set()
            assert (await first).status == 200
    assert len(new.order) == 1


async def test_a_request_that_reached_nobody_is_sent_elsewhere() -> None:
    async with pod() as gone:
        dead = gone.port
    async with pod() as alive, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(dead, alive.port))
        for _ in range(4):
            async with client.post(url(plane), data=b"once", headers=HOST) as answer:
                assert answer.status == 200
    assert len(alive.order) == 4


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("PUT", 1), ("POST", 1)])
async def test_only_what_may_be_repeated_is_repeated(method: str, times: int) -> None:
    seen = []

    async def cut(request: web.Request) -> web.StreamResponse:
        seen.append(request.method)
        assert request.transport
        request.transport.abort()
        return web.Response()

    async with listening(cut) as port, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(port))
        data = None if method == "GET" else b"x"
        async with client.request(method, url(plane), data=data, headers=HOST) as answer:
            assert answer.status == 502
    assert len(seen) == times


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve these bytes to each request, whatever they are, and close."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20) as server:
        yield server.sockets[0].getsockname()[1], seen


_LARGE = 20_000 * b"a"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke the connection"),
        (b"HTTP/1.1 200 OK\r\nA: " + _LARGE + b"\r\nContent-Length: 0\r\n\r\n", "15,360 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + 2 * (b"A: " + _LARGE[:9_000] + b"\r\n") + b"\r\n", "15,360"),
        (b"HTTP/1.1 200 OK\r\n" + 102 * b"A: b\r\n" + b"\r\n", "101 headers"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
    ],
)
async def test_an_answer_that_is_none_is_told_and_not_asked_for_again(
    answer: bytes, told: str
) -> None:
    async with answering(answer) as (port, seen), serving(Door()) as plane:
        await plane.apply(KEY, lane(port))
        status, problem = await raw(plane.port, b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n")
    assert (status, problem["code"], len(seen)) == (502, "bad-gateway", 1)
    assert told in problem["detail"]


async def test_an_answer_with_as_large_a_head_as_haproxy_takes_is_passed() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nA: " + 15_000 * b"a" + b"\r\n\r\n"
    async with answering(answer) as (port, _), serving(Door()) as plane:
        async with ClientSession(max_field_size=20_000) as client:
            await plane.apply(KEY, lane(port))
            async with client.get(url(plane), headers=HOST) as reply:
                assert (reply.status, len(reply.headers["A"])) == (204, 15_000)


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHo"])
async def test_a_head_that_does_not_come_is_408_and_the_end(begin: bytes) -> None:
    async with serving(Door(), header_seconds=0.2) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(begin)
        async with asyncio.timeout(5):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert problem["code"] == "bad-request"
    assert problem["requestId"].encode() in head


async def test_only_the_head_must_come_in_time_and_each_one_must() -> None:
    async with pod() as server, serving(Door(), header_seconds=0.2) as plane:
        await plane.apply(KEY, lane(server.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        async with asyncio.timeout(5):
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n\r\na")
                await asyncio.sleep(0.4)
                writer.write(b"b")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
                await asyncio.sleep(0.4)
            writer.write(b"G")
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + 101 * b"A: b\r\n" + _HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + 16_000 * b"a" + b"\r\n\r\n",
        b"no HTTP\r\n\r\n",
    ],
)
async def test_after_a_head_that_is_refused_the_connection_ends(sent: bytes) -> None:
    async with serving(Door()) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(sent)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"\r\nConnection: close\r\n" in answer


async def test_a_client_cannot_take_away_what_the_gateway_says() -> None:
    taken = "X-Request-Id, traceparent, Host, X-Forwarded-For, X-Torpor-Function, Forwarded"
    sent = {**HOST, "Connection": taken, "X-Forwarded-For": "10.0.0.9", "traceparent": "junk"}
    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))
        async with client.get(url(plane), headers=sent) as answer:
            headers = (await answer.json(content_type=None))["headers"]
    assert headers["host"] == "cart.shop.localhost"
    assert headers["x-request-id"] == answer.headers["X-Request-Id"]
    assert headers["traceparent"].startswith("00-")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-torpor-function"] == "shop/cart"
    assert headers["forwarded"] == 'for=127.0.0.1;host="cart.shop.localhost";proto=http'


async def test_the_host_of_an_absolute_target_goes_before_the_header() -> None:
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, seen):
        async with serving(Door()) as plane:
            await plane.apply(KEY, lane(port))
            reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            writer.write(b"GET http://cart.shop.localhost/a?b HTTP/1.1\r\nHost: other\r\n\r\n")
            async with asyncio.timeout(5):
                assert (await reader.readline()).split()[1] == b"204"
            writer.close()
    assert seen[0].startswith(b"GET /a?b HTTP/1.1\r\n")
    assert b"\r\nHost: cart.shop.localhost\r\n" in seen[0]
    assert b"Host: other" not in seen[0]


async def test_a_large_body_passes() -> None:
    size = 64 * 2**20

    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(2**20)

    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))
        async with client.post(url(plane), data=body(), headers=HOST) as answer:
            assert (await answer.json(content_type=None))["bytes"] == size


async def test_an_answer_that_does_not_come_is_504() -> None:
    async with pod(open_gate=False) as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port, timeout=0.2))
        async with client.get(url(plane), headers=HOST) as answer:
            assert answer.status == 504
        await until(lambda: server.inside == 0)
        server.gate.set()


async def test_a_place_that_does_not_come_free_is_503() -> None:
    async with pod(open_gate=False) as server, serving(Door(), queue_seconds=0.2) as plane:
        async with ClientSession() as client:
            await plane.apply(KEY, lane(server.port, limit=1))
            first = asyncio.create_task(client.get(url(plane), headers=HOST))
            await until(lambda: server.inside == 1)
            async with client.get(url(plane), headers=HOST) as answer:
                body = await answer.json(content_type=None)
            assert (answer.status, body["code"]) == (503, "queue-timeout")
            server.gate.set()
            assert (await first).status == 200


async def test_the_wait_for_a_place_is_no_part_of_the_timeout() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return web.Response()

    async with listening(slow) as port, serving(Door()) as plane, ClientSession() as client:
        server = Server("one", "127.0.0.1", port, limit=1)
        await plane.apply(KEY, Lane(True, (server,), timeout_seconds=0.7))
        answers = await asyncio.gather(*(client.get(url(plane), headers=HOST) for _ in range(3)))
    assert [answer.status for answer in answers] == [200] * 3


async def test_both_directions_stream() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for piece in request.content.iter_any():
            await response.write(piece.upper())
        return response

    got: asyncio.Queue[bytes] = asyncio.Queue()

    async with listening(echo) as port, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(port))

        async def talk() -> AsyncIterator[bytes]:
            for word in (b"one", b"two"):
                yield word
                assert await got.get() == word.upper()

        async with asyncio.timeout(10):
            async with client.post(url(plane), data=talk(), headers=HOST) as answer:
                async for piece in answer.content.iter_any():
                    got.put_nowait(piece)
    assert answer.status == 200
    assert got.empty()


async def test_half_an_answer_is_not_passed_off_as_a_whole_one() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport
        request.transport.abort()
        return response

    async with listening(half) as port, serving(Door()) as plane:
        await plane.apply(KEY, lane(port))
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: cart.shop.localhost\r\n\r\n")
        received = b""
        async with asyncio.timeout(5):
            try:
                while piece := await reader.read(1000):
                    received += piece
            except ConnectionError:
                received += b""
        writer.close()
    assert b"0\r\n\r\n" not in received.partition(b"\r\n\r\n")[2]


async def test_a_web_socket_passes_and_counts_as_in_flight() -> None:
    async def shout(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
        return socket

    async with listening(shout) as port, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(port))
        async with client.ws_connect(url(plane), headers=HOST, protocols=("chat",)) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=5) == "HELLO"
            await socket.send_bytes(b"abc")
            assert await socket.receive_bytes(timeout=5) == b"cba"
            assert (await plane.loads())[KEY].in_flight == 1
        async with asyncio.timeout(5):
            while (await plane.loads())[KEY].in_flight:  # noqa: ASYNC110 - the other side is a socket
                await asyncio.sleep(0.01)


async def test_continue_is_said_only_when_the_body_is_wanted() -> None:
    door = Door()
    async with pod() as server, serving(door) as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: cart.shop.localhost\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        await until(lambda: door.waiting == 1)
        await plane.apply(KEY, lane(server.port))
        door.verdicts.put_nowait(Go(None))
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"ab")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


_UPGRADE = {**HOST, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


async def test_a_function_that_refuses_a_websocket_says_so_itself() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"}, text="no")

    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    async with listening(refuse) as port, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(port))
        async with client.get(url(plane), headers=_UPGRADE | key) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Basic")


async def test_an_upgrade_that_is_no_websocket_is_an_ordinary_request() -> None:
    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))
        async with client.get(url(plane), headers=_UPGRADE) as answer:
            assert (answer.status, (await answer.json(content_type=None))["method"]) == (200, "GET")
        async with client.get(
            url(plane), headers={**_UPGRADE, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        ) as answer:
            assert answer.status == 502
            assert "no WebSocket" in (await answer.json(content_type=None))["detail"]


async def test_a_function_is_told_which_traces_it_is_the_root_of() -> None:
    async with pod() as server, serving(Door()) as plane, ClientSession() as client:
        await plane.apply(KEY, lane(server.port))

        async def seen(**headers: str) -> dict[str, str]:
            async with client.get(url(plane), headers={**HOST, **headers}) as answer:
                found: dict[str, str] = (await answer.json(content_type=None))["headers"]
            return found

        assert (await seen())["tracestate"] == "torpor=begun"
        given = f"00-{'a' * 32}-{'b' * 16}-01"
        forged = await seen(traceparent=given, tracestate="a=1, torpor=begun,b=2")
        assert forged["tracestate"] == "a=1,b=2"
        assert forged["traceparent"] == given
        assert (await seen(tracestate="a=1"))["tracestate"] == "torpor=begun"


async def test_a_held_request_has_a_span_that_the_functions_is_below() -> None:
    spans: list[Span] = []
    door = Door()
    async with pod() as server, serving(door) as plane, ClientSession() as client:
        plane.set_spans(HeldSpans(spans.append))
        request = asyncio.create_task(client.get(url(plane), headers=HOST))
        await until(lambda: door.waiting == 1)
        await plane.apply(KEY, lane(server.port, is_open=False))
        door.verdicts.put_nowait(Go(cold_ms=5, phases={"decide": 5.0}))
        answer = await request
        headers = (await answer.json(content_type=None))["headers"]
    [hold] = spans
    assert hold.attributes["torpor.cold_start.decide_ms"] == 5
    assert headers["traceparent"] == f"00-{hold.trace_id}-{hold.span_id}-01"
    assert (hold.parent_span_id, "tracestate" in headers) == (None, False)
