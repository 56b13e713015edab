"""Handlers that call AWS by boto3, as they are written for Lambda, against servers of ours and S3.

Each has the shape that such code usually has: a client made once while the module is imported, the
address in the environment, records of an event in a loop.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.integration.runtimes import PYTHON, running
from tests.support.events_rig import events_api
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats
from tests.support.servers.versitygw import needs_versitygw, object_server
from tests.support.stepfunctions_rig import ROLE
from tests.support.stepfunctions_whole import serving_whole
from torpor.triggers.event import from_structured

pytestmark = pytest.mark.timeout(120)

TOKEN = "t0ken"
OF_OBJECTS = """
import json
import os
from urllib.parse import unquote_plus

import boto3

s3 = boto3.client("s3")
TARGET = os.environ["TARGET_BUCKET"]

def handler(event, context):
    written = []
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        s3.put_object(Bucket=TARGET, Key=f"upper/{key}", Body=text.upper())
        written.append(f"upper/{key}")
    return {"written": written}
"""
OF_EXECUTIONS = """
import json
import os

import boto3

states = boto3.client("stepfunctions")

def handler(event, context):
    order = json.loads(event["body"])
    started = states.start_execution(
        stateMachineArn=os.environ["MACHINE"],
        name=f"order-{order['id']}",
        input=json.dumps(order),
    )
    return {
        "statusCode": 202,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"execution": started["executionArn"]}),
    }
"""
OF_EVENTS = """
import json
import os

import boto3

bus = boto3.client("events")
queue = boto3.client("sqs")

def handler(event, context):
    detail = json.dumps({"id": event["id"]})
    entry = {
        "Source": "shop", "DetailType": "paid", "Detail": detail, "EventBusName": "shop.orders",
    }
    put = bus.put_events(Entries=[entry])
    queue.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=detail)
    return {"failed": put["FailedEntryCount"]}
"""


def lambdas(url: str, **more: str) -> dict[str, str]:
    return {
        "TORPOR_PAYLOAD": "lambda",
        "TORPOR_DETAIL_TOKEN": TOKEN,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **more,
    }


async def posted(folder: Path, code: str, event: Any, given: dict[str, str], token: str) -> Any:
    headers = {"Torpor-Detail": token, "Content-Type": "application/json"}
    async with (
        running(folder, "main.handler", code, PYTHON, **given) as runtime,
        ClientSession() as session,
        session.post(runtime.url, json=event, headers=headers) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


@needs_versitygw
async def test_a_handler_of_objects_reads_and_writes_s3(tmp_path: Path) -> None:
    async with object_server() as server:
        client = server.client()
        for bucket in ("uploads", "results"):
            await asyncio.to_thread(client.create_bucket, Bucket=bucket)
        await asyncio.to_thread(client.put_object, Bucket="uploads", Key="a b.txt", Body=b"quiet")
        given = lambdas(server.url, **server.environment(), TARGET_BUCKET="results")
        record = {"s3": {"bucket": {"name": "uploads"}, "object": {"key": "a+b.txt"}}}
        told = await posted(tmp_path, OF_OBJECTS, {"Records": [record]}, given, TOKEN)
        found = await asyncio.to_thread(client.get_object, Bucket="results", Key="upper/a b.txt")
        content = await asyncio.to_thread(found["Body"].read)
    assert told == {"written": ["upper/a b.txt"]}
    assert content == b"QUIET"


@needs_postgres
async def test_a_handler_of_a_request_starts_an_execution(tmp_path: Path) -> None:
    definition = {"StartAt": "Keep", "States": {"Keep": {"Type": "Pass", "End": True}}}
    async with serving_whole() as api:
        made = await api(
            "create_state_machine", name="orders", definition=json.dumps(definition), roleArn=ROLE
        )
        given = lambdas(f"http://127.0.0.1:{api.port}", MACHINE=made["stateMachineArn"])
        told = await posted(tmp_path, OF_EXECUTIONS, {"id": 7}, given, "nobody's")
        async with asyncio.timeout(20):
            while True:
                seen = await api("describe_execution", executionArn=told["execution"])
                if seen["status"] != "RUNNING":
                    break
                await asyncio.sleep(0.05)
    assert (seen["status"], seen["name"]) == ("SUCCEEDED", "order-7")
    assert json.loads(seen["output"]) == {"id": 7}


@needs_nats
async def test_a_handler_puts_events_and_sends_messages(tmp_path: Path) -> None:
    async with events_api() as rig:
        queue = rig.boto("sqs")
        made = await asyncio.to_thread(queue.create_queue, QueueName="shop.jobs")
        given = lambdas(rig.url, QUEUE_URL=made["QueueUrl"])
        told = await posted(tmp_path, OF_EVENTS, {"id": 9}, given, TOKEN)
        [event] = [from_structured(m.data) for m in await rig.of_bus("orders", 1)]
        got = await asyncio.to_thread(
            queue.receive_message, QueueUrl=made["QueueUrl"], WaitTimeSeconds=5
        )
    assert told == {"failed": 0}
    assert (event.type, event.data) == ("paid", {"id": 9})
    assert [json.loads(message["Body"]) for message in got["Messages"]] == [{"id": 9}]
