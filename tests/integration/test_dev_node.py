"""Functions of `runtime: nodejs` on the local platform, with real instances."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.integration.runtimes import needs_node
from torpor.platform.local import LocalPlatform
from torpor.platform.local_program import Program
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

pytestmark = needs_node

ROOT = Path(__file__).parents[2]
KEY = FunctionKey("default", "one")


async def test_the_example_answers_as_it_says() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", "dev", "examples/node", "--demo"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert "wrong 0" in output.decode()


@pytest.mark.parametrize("runtime", ["nodejs", "nodejs22"])
async def test_why_the_code_cannot_be_loaded_is_the_reason_of_the_end(
    tmp_path: Path, runtime: str
) -> None:
    spec = {
        "runtime": runtime,
        "handler": "main.handler",
        "code": {"inline": "require('left-out')"},
    }
    function = Function.parse({"metadata": {"name": "one"}, "spec": spec})
    platform = LocalPlatform(tmp_path)
    platform.put(Program(function, {}))
    task = asyncio.create_task(platform.run(), name="platform")
    try:
        await platform.set_scale(KEY, 1, manager="test")
        async with asyncio.timeout(20):
            async for _ in platform.changes():
                found = platform.instances(KEY)
                if found and "left-out" in str(found[0]):
                    break
        assert "Error: Cannot find module 'left-out'" in str(platform.instances(KEY)[0])
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
