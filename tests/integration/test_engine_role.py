"""`torpor engine` as a whole: a boto3 client starts an execution and sees it end."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web

from tests.support.postgres import fresh_database, needs_postgres
from torpor.settings import EngineSettings
from torpor.workflows.engine.role import run_engine

pytestmark = needs_postgres
HOST = "127.0.0.1"
ROLE = "arn:aws:iam::000000000000:role/any"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def functions() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"called": request.path, "with": await request.json()})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def engine(dsn: str, gateway: str, store: Path) -> AsyncIterator[EngineSettings]:
    settings = EngineSettings(
        ledger_dsn=dsn,
        gateway_url=gateway,
        api_port=free_port(),
        internal_port=free_port(),
        metrics_port=free_port(),
        object_store=f"file://{store}",
        drain_seconds=2,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(run_engine(settings, b"k" * 32, stop=stop, host=HOST))
    try:
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(_ready, settings.metrics_port):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield settings
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def client(settings: EngineSettings) -> Any:
    return boto3.client(
        "stepfunctions",
        endpoint_url=f"http://{HOST}:{settings.api_port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def _run(api: Any, definition: dict[str, Any], input: Any) -> dict[str, Any]:
    made = api.create_state_machine(name="m", definition=json.dumps(definition), roleArn=ROLE)
    started = api.start_execution(stateMachineArn=made["stateMachineArn"], input=json.dumps(input))
    while True:
        told: dict[str, Any] = api.describe_execution(executionArn=started["executionArn"])
        if told["status"] != "RUNNING":
            return told


@pytest.mark.filterwarnings("default::DeprecationWarning")
async def test_the_role_serves_boto3_and_metrics(tmp_path: Path) -> None:
    definition = {
        "StartAt": "call",
        "States": {
            "call": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": "checkStock", "Payload.$": "$"},
                "OutputPath": "$.Payload",
                "End": True,
            }
        },
    }
    async with (
        fresh_database() as dsn,
        functions() as gateway,
        engine(dsn, gateway, tmp_path / "objects") as settings,
    ):
        told = await asyncio.to_thread(_run, client(settings), definition, {"sku": 7})
        assert told["status"] == "SUCCEEDED", told
        called = "/function/default/check-stock/"
        assert json.loads(told["output"]) == {"called": called, "with": {"sku": 7}}
        url = f"http://{HOST}:{settings.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        assert 'torpor_workflow_executions_ended_total{status="SUCCEEDED"' in text
