"""What HAProxy says reaches the log once as what it is: its chatter about servers is none of it."""

from __future__ import annotations

import asyncio
import logging
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.haproxy import (
    HAPROXY,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    parked,
    running_plane,
    send,
    serving,
    until,
)
from torpor.gateway.dataplane.base import Server

pytestmark = needs_haproxy


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]


async def test_servers_that_come_leave_and_refuse_are_not_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    one, two = Function("one"), Function("two")
    async with serving(one, two, limit=1) as plane:
        await plane.apply(SHOP, open_lane(two.server(2)))
        await plane.apply(SHOP, parked(two.server(2)))
        await plane.apply(SHOP, open_lane(one.server(1), two.server(2)))
        away = Server("away", "127.0.0.1", 9, 1)
        await plane.apply(SHOP, open_lane(away, two.server(2)))
        for _ in range(4):
            assert (await send(plane.port)).status == 200
        await plane.apply(SHOP, None)
        for said in ("drain state", "is UP", "is DOWN", "Server deleted"):
            await until(lambda said=said: said in caplog.text)  # type: ignore[misc]
    assert warnings(caplog) == []


async def test_what_is_out_of_the_ordinary_is_a_warning(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    program = tmp_path / "haproxy"
    real = shlex.quote(str(shutil.which(HAPROXY)))
    said = "[WARNING]  (1) : config : something is odd."
    program.write_text(f'#!/bin/sh\necho "{said}" >&2\nexec {real} "$@"\n')
    program.chmod(0o700)
    async with running_plane(ScriptedHolder(), program=str(program)):
        async with asyncio.timeout(5):
            await until(lambda: bool(warnings(caplog)))
    assert warnings(caplog) == [f"HAProxy says: {said}"]
