"""How far the pods of a run are, asked over real HTTP of some that tell anything."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession, web

from torpor.dashboard.server import served
from torpor.functions.runs.asking import Asker
from torpor.functions.runs.seen import RunPod

HERE = "127.0.0.1"
POD = RunPod("shop", "film-1", "film-1-0", "u", 0, 1, address=HERE, started="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("told", "ratio"),
    [('{"ratio": 0.5}', 0.5), ('{"ratio": 0.5}' + " " * 10_000, None), ("[", None), ("[]", None)],
    ids=["progress", "long", "no JSON", "no progress"],
)
async def test_a_pod_tells_its_progress_or_nothing(told: str, ratio: float | None) -> None:
    async def progress(_: web.Request) -> web.Response:
        return web.Response(text=told)

    app = web.Application()
    app.router.add_get("/progress", progress)
    async with served(app, HERE, 0) as port, ClientSession() as session:
        found = await Asker(session, port).ask([POD])
    assert {index: item["ratio"] for index, item in found.items()} == (
        {} if ratio is None else {0: ratio}
    )
