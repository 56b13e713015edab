"""The Python runtime as a run: one call, its result and its reason in files, its exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runtimes import PYTHON, spawn
from tests.support.platform_rig import until


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: Any
    log: str


async def ran(
    folder: Path, code: str, given: str = "", *, stop: bool = False, **environment: str
) -> Ended:
    """Do a run with that code and input; `stop`: send SIGTERM once it says `ready`."""
    source, output = folder / "input", folder / "output"
    source.write_text(given)
    names = {
        "TORPOR_RUN_ID": "echo-1",
        "TORPOR_INPUT": str(source),
        "TORPOR_OUTPUT": str(output),
        **environment,
    }
    runtime = await spawn(folder, "main.handler", textwrap.dedent(code), PYTHON, **names)
    if stop:
        await until(lambda: b"ready" in runtime.errors.read_bytes(), 10)
        runtime.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        status = await runtime.process.wait()
    said = output.read_bytes() if output.exists() else b""
    return Ended(status, json.loads(said) if said else None, runtime.errors.read_text())


ECHO = "def handler(event, context): return [event, context.request_id]"


@pytest.mark.parametrize(
    ("given", "payload", "event"),
    [
        ('{"n": 1}', "raw", {"n": 1}),
        ("", "raw", None),
        ("", "lambda", {}),
        ('"caffè"', "raw", "caffè"),
    ],
)
async def test_the_input_is_the_event_and_what_is_returned_the_result(
    tmp_path: Path, given: str, payload: str, event: Any
) -> None:
    code = ECHO if payload == "raw" else ECHO.replace("request_id", "aws_request_id")
    ended = await ran(tmp_path, code, given, TORPOR_PAYLOAD=payload)
    assert (ended.code, ended.output) == (0, [event, "echo-1"]), ended.log


async def test_an_async_handler_is_awaited_and_may_return_nothing(tmp_path: Path) -> None:
    code = """
        import asyncio

        async def handler(event, context):
            await asyncio.sleep(0)
            return event["twice"] * 2 if event else None
    """
    assert (await ran(tmp_path, code, '{"twice": 4}')).output == 8
    (tmp_path / "output").unlink()
    assert (await ran(tmp_path, code, "")).output is None


async def test_a_cloudevent_is_given_as_one(tmp_path: Path) -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": {"n": 1}}
    code = "def handler(event, context): return [event['id'], event.data]"
    ended = await ran(tmp_path, code, json.dumps(event), TORPOR_PAYLOAD="cloudevents")
    assert ended.output == ["7", {"n": 1}]
    bad = await ran(tmp_path, code, '{"id": "7"}', TORPOR_PAYLOAD="cloudevents")
    assert (bad.code, "it has no source" in bad.output["error"]) == (64, True)


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("raise ValueError('no such clip')", 1, "ValueError: no such clip"),
        ("import sys; sys.exit(3)", 3, None),
        ("import sys; sys.exit('no disk')", 1, "no disk"),
        ("return {1, 2}", 1, "MarshalError"),
        ("return 'x' * 5000", 64, "return where it is"),
        (
            "from torpor.checkpoint import BadInput; raise BadInput('no video stream')",
            64,
            "no video stream",
        ),
        ("from torpor.checkpoint import Stopped; raise Stopped('told to')", 143, None),
    ],
)
async def test_how_it_ends_is_the_exit_code_and_the_reason(
    tmp_path: Path, body: str, code: int, reason: str | None
) -> None:
    ended = await ran(tmp_path, f"def handler(event, context):\n    {body}\n")
    assert ended.code == code, ended.log
    assert (ended.output is None) if reason is None else (reason in ended.output["error"])


async def test_input_that_is_no_json_is_bad_and_never_tried_again(tmp_path: Path) -> None:
    ended = await ran(tmp_path, ECHO, "{")
    assert (ended.code, "must be JSON" in ended.output["error"]) == (64, True)


async def test_code_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    ended = await ran(tmp_path, "import nothing_of_that_name")
    assert ended.code == 1
    assert "No module named 'nothing_of_that_name'" in ended.output["error"]


async def test_sigterm_stops_it_with_143_and_runs_what_must_be_run(tmp_path: Path) -> None:
    code = """
        import sys
        import time

        def handler(event, context):
            print("ready", file=sys.stderr, flush=True)
            try:
                time.sleep(60)
            finally:
                print("cleaned up", file=sys.stderr, flush=True)
    """
    ended = await ran(tmp_path, code, stop=True)
    assert (ended.code, ended.output, "cleaned up" in ended.log) == (143, None, True)
