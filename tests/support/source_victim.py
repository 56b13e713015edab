"""A process that reads a source, says how much it has, acknowledges nothing, and is killed.

python -m tests.support.source_victim KIND SETTINGS-AS-JSON
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from tests.support.source_rig import reading, trigger, world
from torpor.resources.trigger import SourceKind
from torpor.triggers.sources.catalog import SOURCES


async def killed_with(kind: str, settings: Mapping[str, Any], count: int) -> None:
    """Read `count` things in another process, and kill it before it acknowledged any."""
    arguments = ("-m", "tests.support.source_victim", kind, json.dumps(dict(settings)))
    victim = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    try:
        async with asyncio.timeout(40):
            for number in range(1, count + 1):
                assert await victim.stdout.readline() == b"%d\n" % number
    finally:
        victim.kill()
        await victim.wait()


async def _main(kind: str, settings: str) -> None:
    of = trigger({kind: json.loads(settings)})
    async with reading(SOURCES[SourceKind(kind)], of, world()) as reader:
        number = 0
        while True:
            await reader.hold(1, seconds=60)
            number += 1
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
