"""`LogType: Tail`: the end of what a call logged comes with its answer, and with nobody else's."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from tests.integration.runtimes import NODE, Language, in_both, running
from tests.integration.test_lambda_api import ECHO, KEY, awake
from tests.support.haproxy import needs_haproxy
from torpor.resources.tokens import detail_token

PYTHON_CODE = """
import asyncio, logging, sys

async def handler(event, context):
    print("printed", event["n"])
    print("to stderr", event["n"], file=sys.stderr)
    logging.getLogger("mine").warning("logged %s", event["n"])
    await asyncio.sleep(event.get("wait", 0))
    if event.get("fail"):
        raise LookupError("no such order")
    if event.get("much"):
        print("x" * 10_000 + "the end")
    return event["n"]
"""
NODE_CODE = """
exports.handler = async (event) => {
  process.stdout.write(`printed ${event.n}\\n`);
  process.stderr.write(`to stderr ${event.n}\\n`);
  console.warn('logged %d', event.n);
  await new Promise((resolve) => setTimeout(resolve, (event.wait ?? 0) * 1000));
  if (event.fail) throw new RangeError('no such order');
  if (event.much) process.stdout.write(`${'x'.repeat(10000)}the end\\n`);
  return event.n;
};
"""
pytestmark = needs_haproxy


def code_of(language: Language) -> str:
    return NODE_CODE if language is NODE else PYTHON_CODE


def log_of(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"], validate=True).decode()


@in_both
async def test_the_end_of_the_log_comes_with_the_result(tmp_path: Path, language: Language) -> None:
    code = code_of(language)
    async with awake(tmp_path, code=code, language=language, payload="lambda") as rig:

        async def tail(**event: Any) -> tuple[str, dict[str, Any]]:
            payload = json.dumps(event).encode()
            answer = await rig.call(
                "invoke", FunctionName="shop.echo", Payload=payload, LogType="Tail"
            )
            return log_of(answer), answer

        log, answer = await tail(n=1)
        assert answer["Payload"] == b"1"
        assert "printed 1\n" in log
        assert "to stderr 1\n" in log
        line = next(json.loads(it) for it in log.splitlines() if '"logged 1"' in it)
        assert line["requestId"] == answer["ResponseMetadata"]["RequestId"]

        log, answer = await tail(n=2, fail=True)
        assert answer["FunctionError"] == "Unhandled"
        assert "no such order" in log
        assert "printed 1" not in log

        log, _ = await tail(n=3, much=True)
        assert len(log.encode()) == 4096
        assert log.endswith("the end\n")


@in_both
async def test_calls_at_once_have_each_their_own_log(tmp_path: Path, language: Language) -> None:
    code = code_of(language)
    async with awake(tmp_path, code=code, language=language, payload="lambda") as rig:
        calls = [
            rig.call(
                "invoke",
                FunctionName="shop.echo",
                Payload=json.dumps({"n": n, "wait": 0.3}).encode(),
                LogType="Tail" if n % 2 else "None",
            )
            for n in range(10, 16)
        ]
        answers = dict(zip(range(10, 16), await asyncio.gather(*calls), strict=True))
    for n, answer in answers.items():
        assert ("LogResult" in answer) == bool(n % 2)
    for n in (11, 13, 15):
        log = log_of(answers[n])
        assert f"printed {n}\n" in log
        assert not [other for other in answers if other != n and f"printed {other}" in log]


@in_both
async def test_nobody_from_outside_is_shown_a_log(tmp_path: Path, language: Language) -> None:
    environment = {"TORPOR_DETAIL_TOKEN": detail_token(KEY, ECHO), "TORPOR_PAYLOAD": "raw"}
    code = PYTHON_CODE.replace('event["n"]', "1").replace("event.get", "{}.get")
    code = NODE_CODE if language is NODE else code
    asks = {"X-Amz-Log-Type": "Tail"}
    async with (
        running(tmp_path, "main.handler", code, language, **environment) as runtime,
        ClientSession() as session,
    ):
        for headers in (asks, {**asks, "Torpor-Detail": "guessed"}):
            async with session.post(runtime.url, headers=headers, data=b"{}") as answer:
                assert answer.status in (200, 204)
                assert "X-Amz-Log-Result" not in answer.headers


@in_both
async def test_a_call_that_the_runtime_ends_tells_what_it_logged_so_far(
    tmp_path: Path, language: Language
) -> None:
    token = detail_token(KEY, ECHO)
    environment = {
        "TORPOR_DETAIL_TOKEN": token,
        "TORPOR_PAYLOAD": "lambda",
        "TORPOR_TIMEOUT_SECONDS": "0.5",
    }
    headers = {
        "X-Amz-Log-Type": "Tail",
        "Torpor-Detail": token,
        "Content-Type": "application/json",
    }
    async with (
        running(tmp_path, "main.handler", code_of(language), language, **environment) as runtime,
        ClientSession() as session,
        session.post(runtime.url, headers=headers, json={"n": 4, "wait": 5}) as answer,
    ):
        assert answer.status == 504
        assert "printed 4" in base64.b64decode(answer.headers["X-Amz-Log-Result"]).decode()
