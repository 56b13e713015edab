"""HAProxy dies or hangs, with nobody awake and with somebody: it is noticed, and all comes back."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.fake_platform import function
from tests.support.haproxy import (
    HAPROXY,
    Reply,
    ScriptedHolder,
    needs_haproxy,
    running_plane,
    send,
    until,
)
from tests.support.real_gateway import RealGateway, ServingPlatform, real_gateway
from torpor.gateway.dataplane.haproxy import pulse
from torpor.gateway.dataplane.haproxy.reaper import Reaper
from torpor.telemetry.metrics import DATA_PLANE_RESTARTS

pytestmark = needs_haproxy
ECHO = "echo.shop.localhost"


class Program:
    """An HAProxy that does not start while it is forbidden."""

    def __init__(self, folder: Path) -> None:
        self._ban = folder / "ban"
        self.path = folder / "haproxy"
        real = shlex.quote(str(shutil.which(HAPROXY)))
        self.path.write_text(f'#!/bin/sh\n[ -e {self._ban} ] && exit 1\nexec {real} "$@"\n')
        self.path.chmod(0o700)

    @contextmanager
    def forbidden(self) -> Iterator[None]:
        self._ban.touch()
        try:
            yield
        finally:
            self._ban.unlink()


async def status(gateway: RealGateway, path: str) -> tuple[int, str]:
    async with ClientSession() as session, session.get(f"{gateway.health}{path}") as answer:
        return answer.status, await answer.text()


async def until_status(
    gateway: RealGateway, wanted: int, within_seconds: float, path: str = "/readyz"
) -> str:
    async with asyncio.timeout(within_seconds):
        while (seen := await status(gateway, path))[0] != wanted:  # noqa: ASYNC110 - asked
            await asyncio.sleep(0.02)
    return seen[1]


@asynccontextmanager
async def serving(
    platform: ServingPlatform, folder: Path
) -> AsyncIterator[tuple[RealGateway, Program]]:
    program = Program(folder)
    platform.add(function(scaling={"concurrency": {"target": 1, "limit": 1}}))
    async with real_gateway(platform, haproxy=str(program.path)) as gateway:
        await until(lambda: gateway.plane.up)
        await until_status(gateway, 200, 10)
        yield gateway, program
    await platform.stop()


async def kill(gateway: RealGateway, program: Program) -> None:
    """Kill HAProxy, see that it is noticed, and let it start again."""
    restarts = DATA_PLANE_RESTARTS._value.get()
    assert gateway.plane.pid
    with program.forbidden():
        os.kill(gateway.plane.pid, signal.SIGKILL)
        said = await until_status(gateway, 503, 3)
        assert "haproxy: HAProxy is not running" in said
        assert (await status(gateway, "/healthz"))[0] == 200
    await until_status(gateway, 200, 10)
    assert DATA_PLANE_RESTARTS._value.get() == restarts + 1


async def burst(gateway: RealGateway) -> list[Reply]:
    return await asyncio.gather(*(send(gateway.port, host=ECHO) for _ in range(10)))


async def test_killed_with_no_function_awake(tmp_path: Path) -> None:
    platform = ServingPlatform(serves_seconds=0.01)
    async with serving(platform, tmp_path) as (gateway, program):
        assert not await gateway.plane.loads()
        await kill(gateway, program)
        assert {reply.status for reply in await burst(gateway)} == {200}
        assert (await send(gateway.port, host="no.where")).status == 404
        assert {server.most for server in platform.servers.values()} == {1}


async def test_killed_with_one_awake_its_slot_and_limit_come_back(tmp_path: Path) -> None:
    platform = ServingPlatform(serves_seconds=0.01)
    async with serving(platform, tmp_path) as (gateway, program):
        cold = await send(gateway.port, host=ECHO)
        assert "x-torpor-cold-start" in cold.headers
        assert [load.requests for load in (await gateway.plane.loads()).values()] == [1]
        await kill(gateway, program)
        replies = await burst(gateway)
        assert {reply.status for reply in replies} == {200}
        assert not any("x-torpor-cold-start" in reply.headers for reply in replies)
        [server] = platform.servers.values()
        assert (server.most, len(server.seen)) == (1, 11)
        assert [load.requests for load in (await gateway.plane.loads()).values()] == [11]


async def test_killed_twice_while_requests_are_held(tmp_path: Path) -> None:
    platform = ServingPlatform(starts_after_seconds=1.5)
    async with serving(platform, tmp_path) as (gateway, program):
        held = asyncio.create_task(send(gateway.port, host=ECHO))
        await until(lambda: bool(platform.written))
        for _ in range(2):
            await kill(gateway, program)
        with pytest.raises((OSError, EOFError)):
            await held
        assert (await send(gateway.port, host=ECHO)).status == 200


async def test_one_that_hangs_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "HUNG_SECONDS", 5.0)
    async with serving(ServingPlatform(), tmp_path) as (gateway, _):
        stopped = gateway.plane.pid
        assert stopped
        os.kill(stopped, signal.SIGSTOP)
        said = await until_status(gateway, 503, 6)
        assert "haproxy: HAProxy does not answer" in said
        await until_status(gateway, 200, 10)
        assert gateway.plane.pid not in (None, stopped)
        assert (await send(gateway.port, host=ECHO)).status == 200


async def test_one_that_stays_away_fails_liveness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(ServingPlatform(), tmp_path) as (gateway, program):
        assert gateway.plane.pid
        monkeypatch.setattr(pulse, "LOST_SECONDS", 4.0)
        with program.forbidden():
            os.kill(gateway.plane.pid, signal.SIGKILL)
            said = await until_status(gateway, 503, 8, "/healthz")
            assert "haproxy lost: HAProxy is away for" in said
        await until_status(gateway, 200, 10)


async def test_a_gateway_that_stops_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_plane(ScriptedHolder()) as plane:
        assert plane.lost() is None
        monkeypatch.setattr(pulse, "LOST_SECONDS", -1.0)
        assert plane.lost() is not None
    assert plane.lost() is None


async def test_a_task_of_the_plane_that_ends_fails_liveness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def end(_: Reaper) -> None:
        raise ValueError("rows of two lengths")

    monkeypatch.setattr(Reaper, "run", end)
    async with running_plane(ScriptedHolder()) as plane:
        await until(lambda: plane.lost() is not None)
        assert "haproxy-reaper ended: ValueError('rows of two lengths')" in (plane.lost() or "")
