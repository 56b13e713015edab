"""The dashboard on the cluster: it shows what there is, to nobody but who shows the token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.cluster.api import Json, Refused, until
from tests.cluster.dashboard import PROXY, Dashboard, passed_on
from tests.cluster.harness import SCALING_QUICK, SYSTEM, Lab
from tests.cluster.traffic import send

pytestmark = pytest.mark.timeout(240)

HELLO = "def handler(event, context):\n    return event.headers['traceparent']\n"
NOSY = """\
import urllib.error, urllib.request

def handler(event, context):
    try:
        return urllib.request.urlopen(event.text, timeout=5).read().decode()
    except urllib.error.HTTPError as refused:
        return f"{refused.code} {refused.read().decode()}"
    except OSError as error:
        return f"nobody: {error}"
"""
"""Fetches what it is sent the address of."""
PYTHON: Mapping[str, Any] = {"runtime": "python3", "handler": "main.handler"}


@pytest.fixture(autouse=True)
async def enabled(lab: Lab) -> None:
    if not await Dashboard(lab).enabled():
        pytest.skip(f"no dashboard in {SYSTEM}: run `make cluster-install`")


async def test_a_function_is_seen_asleep_awake_and_asleep_again(lab: Lab) -> None:
    dashboard = Dashboard(lab)
    host = await lab.make("hello", scaling=dict(SCALING_QUICK))

    async def is_told(state: str) -> Json | None:
        found = await dashboard.function("hello")
        return found if found and found["state"] == state else None

    await until("asleep", lambda: is_told("zero"), within=30)
    answer = await send(host)
    assert answer.status == 200, answer
    awake = await until("awake", lambda: is_told("ready"), within=30)
    asleep = await until("asleep again", lambda: is_told("zero"), within=60)
    print("awake:", awake, "\nasleep again:", asleep)
    assert asleep["coldStarts"], "the wake is told by its phases"


async def test_the_span_of_a_request_is_there_at_the_end_of_its_trace(lab: Lab) -> None:
    host = await lab.make("told", **PYTHON, code={"inline": HELLO})
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    answer = await send(host, headers={"traceparent": f"00-{trace}-{caller}-01"})
    seen = answer.body.decode().strip('"').split("-")
    assert (answer.status, seen[1]) == (200, trace), answer
    dashboard = Dashboard(lab)

    async def told() -> Json | None:
        try:
            found = await dashboard.get(f"/api/traces/{trace}")
        except Refused:
            return None
        spans = {span["spanId"]: span for span in found["tree"]}
        return spans.get(seen[2])

    span = await until("the function's span", told, within=60, every=0.5)
    print(span)
    assert span["parentSpanId"] == caller


async def test_a_person_watches_it_live_through_a_port_of_their_own(lab: Lab) -> None:
    await lab.make("watched", scaling=dict(SCALING_QUICK))
    async with passed_on() as url, aiohttp.ClientSession(url) as browser:
        async with browser.get("/") as page:
            assert (page.status, page.content_type) == (200, "text/html")
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        async with browser.get("/events") as stream, asyncio.timeout(30):
            assert stream.content_type == "text/event-stream"
            async for line in stream.content:
                if line.startswith(b"data:") and b'"watched"' in line:
                    break
        async with browser.get("/", headers={"Host": "evil.example"}) as refused:
            assert refused.status == 403


async def test_a_pod_without_the_token_is_told_nothing(lab: Lab) -> None:
    host = await lab.make("nosy", **PYTHON, code={"inline": NOSY})
    base = f"http://torpor-dashboard.{SYSTEM}.svc"
    for path in ("/", "/api/snapshot", "/events", "/api/traces", "/metrics"):
        said = (await send(host, method="POST", body=f"{base}{path}".encode())).body.decode()
        print(path, said[:200])
        assert said.startswith(("403", "nobody")), said
    # Where spans are told nothing is shown.
    said = (
        await send(host, method="POST", body=f"{base}:4318/api/snapshot".encode())
    ).body.decode()
    assert said.startswith(("404", "nobody")), said


async def test_who_may_use_the_api_servers_proxy_needs_the_token_too(lab: Lab) -> None:
    with pytest.raises(Refused, match="token is missing") as refused:
        await lab.api.text("GET", f"{PROXY}/api/snapshot")
    assert refused.value.status == 403
