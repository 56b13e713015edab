"""A soft limit of open files far below the hard one, as containerd 2 gives it, bounds nothing."""

from __future__ import annotations

import asyncio
import sys

from tests.support.haproxy import needs_haproxy

pytestmark = needs_haproxy

HELD = 400
SOFT, HARD = 256, 8192
GATEWAY = f"""
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {HARD}))
from tests.support.haproxy import SHOP, GO, Function, ScriptedHolder, open_lane, running_plane
from tests.support.haproxy import send, until

async def main():
    holder = ScriptedHolder()
    async with Function("late") as late, running_plane(holder) as plane:
        held = [asyncio.create_task(send(plane.port)) for _ in range({HELD})]
        await until(lambda: holder.held[SHOP] == {HELD})
        await plane.apply(SHOP, open_lane(late.server()))
        holder.answer(SHOP, GO)
        replies = await asyncio.gather(*held)
        print([reply.status for reply in replies].count(200), "answered")

asyncio.run(main())
"""


async def test_more_requests_are_held_than_the_soft_limit_has_descriptors() -> None:
    gateway = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        GATEWAY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            said, errors = await gateway.communicate()
    finally:
        if gateway.returncode is None:
            gateway.kill()
            await gateway.wait()
    assert said.decode() == f"{HELD} answered\n", errors.decode()[-2000:]
