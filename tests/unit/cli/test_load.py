"""`torpor fn load`, against a gateway on the loopback interface."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import FakeCluster
from tests.unit.cli.test_fn import function
from torpor.cli.openloop import Measured, Outcome, Pace, drive
from torpor.cli.options import BadOption


async def test_load_counts_answers_cold_starts_and_replicas(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [function("shop", "thumb", replicas={"ready": 2})]
    woke = web.Response(text="ok", headers={"X-Torpor-Cold-Start": "640"})
    bad = web.Response(status=503, text="no")
    cluster.answers = iter([woke, bad, *(web.Response(text="ok") for _ in range(8))])
    words = ("fn", "load", "thumb", "--rps", "200", "--seconds", "0.05", "--path", "/a?b=c")
    done = await torpor(*words, "-o", "json")
    assert done.code == 1, done.err
    told = json.loads(done.out)
    assert (told["sent"], told["statuses"]) == (10, {"200": 9, "503": 1})
    assert told["coldStarts"] == {"count": 1, "milliseconds": [640]}
    assert [it["ready"] for it in told["replicas"]] == [2]
    assert {it.path for it in cluster.received} == {"/function/shop/thumb/a?b=c"}


async def test_load_sends_the_request_that_invoke_would(
    cluster: FakeCluster, torpor: Torpor, tmp_path: Path
) -> None:
    (tmp_path / "event.json").write_text('{"n": 1}')
    words = ("--gateway", cluster.url, "--rps", "100", "--seconds", "0.03", "--path", "/a b")
    data = ("-d", f"@{tmp_path / 'event.json'}", "-H", "Content-Type: application/json")
    assert (await torpor("fn", "load", "thumb", *words, *data)).code == 0
    assert (await torpor("fn", "load", "thumb", *words, "-X", "DELETE")).code == 0
    sent = [(it.method, it.path, it.body) for it in cluster.received]
    place = "/function/shop/thumb/a%20b"
    assert sent == [("POST", place, b'{"n": 1}')] * 3 + [("DELETE", place, b"")] * 3
    types = [it.headers.get("content-type") for it in cluster.received[:3]]
    assert types == ["application/json"] * 3


async def test_load_of_a_gateway_needs_no_cluster(cluster: FakeCluster, torpor: Torpor) -> None:
    words = ("--gateway", cluster.url, "--rps", "100", "--seconds", "0.05")
    done = await torpor("fn", "load", "thumb", *words)
    assert done.code == 0, done.err
    lines = dict(line.split("  ", 1) for line in done.out.splitlines())
    assert lines["answers"].strip() == "5 x 200"
    assert "not known" in lines["replicas"]


async def test_load_says_why_nobody_answered(cluster: FakeCluster, torpor: Torpor) -> None:
    words = ("--gateway", "127.0.0.1:1", "--rps", "100", "--seconds", "0.03")
    done = await torpor("fn", "load", "thumb", *words)
    assert done.code == 1
    assert "3 x no answer from 127.0.0.1:1" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ("--rps", "0"),
        ("--seconds", "inf"),
        ("--concurrency", "0"),
        ("--rps", "1e9"),
        ("--path", "x"),
    ],
)
async def test_a_load_that_cannot_be_is_refused(
    cluster: FakeCluster, torpor: Torpor, words: tuple[str, ...]
) -> None:
    cluster.functions = [function("shop", "thumb")]
    done = await torpor("fn", "load", "thumb", *words)
    assert (done.code, done.out, cluster.received) == (1, "", [])


async def test_a_stall_is_seen_by_all_that_were_due_during_it() -> None:
    free = asyncio.Event()
    measured = Measured()

    async def send() -> Outcome:
        await free.wait()
        return Outcome(200)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drive(Pace(1000, 0.1, 1), send, measured), name="load")
        asyncio.get_running_loop().call_later(0.5, free.set)
    assert measured.statuses == {200: 100}
    assert min(measured.latencies_seconds) > 0.35, "one that was due early was not held up"
    assert measured.latest_start_seconds > 0.35


def test_a_pace_has_at_least_one_request() -> None:
    assert Pace(0.1, 1, 1).requests == 1
    with pytest.raises(BadOption):
        Pace(float("nan"), 1, 1)


async def test_what_is_cancelled_has_counted_what_had_ended() -> None:
    measured = Measured()

    async def send() -> Outcome:
        return Outcome(200)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await drive(Pace(100, 60, 1), send, measured)
    assert 0 < measured.statuses[200] < 60
    assert measured.seconds >= 0.2
