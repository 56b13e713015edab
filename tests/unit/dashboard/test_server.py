"""The dashboard over real HTTP: who may use it, what it answers, and how it says no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientResponse, ClientSession
from aiohttp.typedefs import Middleware

from tests.unit.dashboard.empty import Empty
from torpor.dashboard.gathering import Gathering
from torpor.dashboard.guard import HEADERS, PAGE_HEADER, on_this_machine, with_token
from torpor.dashboard.model import FunctionSeen, FunctionState, Json
from torpor.dashboard.server import Dashboard, served
from torpor.dashboard.sources import Away, NotThere
from torpor.dashboard.stream import MOST_READERS, Stream
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import TOKEN_HEADER

LOOKS = 100
"""Far more than fits between a server and a client that does not read: 20 MB."""
LETTERS = "/api/triggers/shop/orders/dead-letters"


class Shop(Empty):
    """A place with one Trigger, `orders`, whose dead letters were redriven so often."""

    def __init__(self) -> None:
        self.redriven: list[tuple[int, int]] = []

    async def execution(self, arn: str) -> Json:
        if arn.endswith(":away"):
            raise Away("the engine does not answer: refused")
        return {"arn": arn}

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        if trigger.name != "orders":
            raise NotThere(f"there is no Trigger {trigger}")
        return {"letters": [{"seq": after + 1}], "after": None}

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        self.redriven.append((after, last))
        return {"moved": 1, "left": 0, "after": None, "last": 7}


class Busy(Shop):
    """A place with more to tell than a socket holds, which changes with each look."""

    looks = 0

    async def functions(self) -> Sequence[FunctionSeen]:
        self.looks += 1
        return [
            FunctionSeen("shop", f"f{n}", "Service", FunctionState.ZERO, requests=self.looks)
            for n in range(1000)  # 200 KB
        ]


@asynccontextmanager
async def dashboard(shop: Shop, guard: Middleware) -> AsyncIterator[str]:
    gathering = Gathering(shop, wall=lambda: 7.0)
    stream = Stream(gathering.snapshot, period_seconds=0.02)
    running = asyncio.create_task(stream.run(), name="stream")
    app = Dashboard(shop, gathering, stream).application(guard)
    try:
        async with served(app, "127.0.0.1", 0) as port:
            yield f"http://127.0.0.1:{port}"
    finally:
        running.cancel()


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest_asyncio.fixture
async def url(shop: Shop) -> AsyncIterator[str]:
    async with dashboard(shop, on_this_machine()) as found:
        yield found


async def ask(
    method: str, url: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Any, Mapping[str, str]]:
    async with (
        ClientSession() as client,
        client.request(method, url, headers=headers, skip_auto_headers=["Host"]) as answer,
    ):
        content = await answer.read()
        told = orjson.loads(content) if answer.content_type.endswith("json") else content
        return answer.status, told, dict(answer.headers)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[:"])
async def test_a_name_that_is_not_this_machine_is_refused(url: str, host: str) -> None:
    status, told, _ = await ask("GET", f"{url}/api/snapshot", {"Host": host})
    assert (status, told["code"]) == (403, "wrong-host")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8300", "a.localhost"])
async def test_names_of_this_machine_are_let_in(url: str, host: str) -> None:
    assert (await ask("GET", f"{url}/api/snapshot", {"Host": host}))[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_page_of_another_origin_is_refused(shop: Shop, url: str, method: str) -> None:
    headers = {"Origin": "http://evil.example", PAGE_HEADER: "1"}
    path = f"{LETTERS}/redrive" if method == "POST" else "/events"
    status, told, _ = await ask(method, url + path, headers)
    assert (status, told["code"], shop.redriven) == (403, "wrong-origin", [])


async def test_what_changes_something_needs_the_pages_header(shop: Shop, url: str) -> None:
    status, told, _ = await ask("POST", f"{url}{LETTERS}/redrive", {"Origin": url})
    assert (status, shop.redriven) == (403, [])
    assert told["detail"] == "what changes something needs the header X-Torpor-Dashboard"
    given = {"Origin": url, PAGE_HEADER: "1"}
    status, told, _ = await ask("POST", f"{url}{LETTERS}/redrive?after=5&last=7", given)
    assert (status, shop.redriven) == (200, [(5, 7)])
    assert told == {"moved": 1, "left": 0, "after": None, "last": 7}


async def test_with_a_token_only_who_shows_it_comes_in(shop: Shop) -> None:
    async with dashboard(shop, with_token("secret")) as url:
        for headers in ({}, {TOKEN_HEADER: "other"}):
            status, told, _ = await ask("GET", f"{url}/", headers)
            assert (status, told["code"]) == (403, "forbidden")
        status, _, _ = await ask("GET", f"{url}/", {TOKEN_HEADER: "secret", "Host": "10.0.0.1"})
        assert status == 200


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/snapshot", "/nope", LETTERS])
async def test_every_answer_says_what_browsers_may_do_with_it(url: str, path: str) -> None:
    _, _, headers = await ask("GET", url + path)
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nope", 404, "not-found"),
        ("/static/../server.py", 404, "not-found"),
        ("/static/%2e%2e/server.py", 404, "not-found"),
        ("/api/triggers/shop/others/dead-letters", 404, "not-found"),
        (f"{LETTERS}?after=x", 400, "bad-request"),
        (f"{LETTERS}/redrive", 405, "method-not-allowed"),
        ("/api/executions/arn:away", 503, "role-away"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem(
    url: str, path: str, status: int, code: str
) -> None:
    found, told, headers = await ask("GET", url + path)
    assert (found, told["status"], told["code"]) == (status, status, code)
    assert headers["Content-Type"] == "application/problem+json"


async def test_what_is_opened_is_answered(url: str) -> None:
    arn = "arn:aws:states:us-east-1:000000000000:execution:shop.pay:one"
    assert (await ask("GET", f"{url}/api/executions/{arn}"))[1] == {"arn": arn}
    encoded = arn.replace(":", "%3A")
    assert (await ask("GET", f"{url}/api/executions/{encoded}"))[1] == {"arn": arn}
    assert (await ask("GET", url + LETTERS))[1] == {"letters": [{"seq": 1}], "after": None}
    assert b"<title>Torpor</title>" in (await ask("GET", f"{url}/"))[1]


async def test_the_stream_is_server_sent_events(url: str) -> None:
    async with ClientSession() as client, client.get(f"{url}/events") as answer:
        assert answer.content_type == "text/event-stream"
        line = await answer.content.readuntil(b"\n\n")
    assert orjson.loads(line.removeprefix(b"data: "))["place"] == "a test"


async def looks_in(answer: ClientResponse) -> AsyncIterator[int]:
    """Yield which look each snapshot of a stream is of."""
    held = b""
    async for piece in answer.content.iter_any():
        *whole, held = (held + piece).split(b"\n\n")
        for event in whole:
            yield int(orjson.loads(event.removeprefix(b"data: "))["functions"][0]["requests"])


async def test_who_does_not_read_keeps_nobody_waiting_and_skips() -> None:
    async with (
        dashboard(Busy(), on_this_machine()) as url,
        ClientSession() as client,
        client.get(f"{url}/events") as unread,
        client.get(f"{url}/events") as answer,
    ):
        last = 0
        async for look in looks_in(answer):
            last = look
            if look >= LOOKS:
                break
        late: list[int] = []
        async for look in looks_in(unread):
            late.append(look)
            if look >= last:
                break
        assert late == sorted(set(late))
        assert len(late) < LOOKS / 2


async def test_when_the_last_reader_leaves_nothing_is_looked_at_any_more() -> None:
    busy = Busy()
    async with dashboard(busy, on_this_machine()) as url:
        async with ClientSession() as client, client.get(f"{url}/events") as answer:
            assert await anext(looks_in(answer)) >= 1
        async with asyncio.timeout(10):
            while True:
                before = busy.looks
                await asyncio.sleep(0.2)  # ten periods
                if busy.looks == before:
                    break


async def test_beyond_so_many_readers_it_says_so(url: str) -> None:
    async with ClientSession() as client:
        open_ones = [await client.get(f"{url}/events") for _ in range(MOST_READERS)]
        status, told, headers = await ask("GET", f"{url}/events")
        assert (status, told["code"], headers["Retry-After"]) == (503, "too-many-readers", "2")
        for answer in open_ones:
            answer.close()
