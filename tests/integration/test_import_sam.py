"""`torpor import sam`, then `torpor dev` of what it wrote: handlers get what Lambda gives them."""

# ruff: noqa: SIM117 - a client nested in its server reads in the order of what happens
from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.integration.runtimes import needs_node
from tests.support.servers.nats import needs_nats

pytestmark = [needs_nats, pytest.mark.asyncio(loop_scope="module")]

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Place: { Type: String }
  Stage: { Type: String, Default: dev, AllowedValues: [dev, prod] }
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  Function:
    Runtime: python3.12
    Timeout: 10
    Environment: { Variables: { PLACE: !Ref Place } }
Resources:
  ItemsFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.items
      Environment: { Variables: { GREETING: !Sub "hello from ${Stage}", QUEUE_URL: !Ref Jobs } }
      Events:
        One: { Type: Api, Properties: { Path: "/items/{id}", Method: get } }
        Put: { Type: Api, Properties: { Path: "/items/{id}/{proxy+}", Method: put } }
        All: { Type: HttpApi, Properties: { Path: "/things/{kind}", Method: any } }
  ListFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.listed
      Events:
        List: { Type: Api, Properties: { Path: /items, Method: get } }
  NodeFunction:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        exports.handler = (event, context, callback) => callback(null, {
          statusCode: 200,
          multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'] },
          body: JSON.stringify(
            [event.resource, event.pathParameters, event.multiValueQueryStringParameters]),
        });
      Handler: index.handler
      Runtime: nodejs22.x
      Events:
        Get: { Type: Api, Properties: { Path: "/pages/{name}", Method: GET } }
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.work
      Events:
        Jobs:
          Type: SQS
          Properties:
            Queue: !GetAtt Jobs.Arn
            BatchSize: 4
            FunctionResponseTypes: [ReportBatchItemFailures]
        Told:
          Type: EventBridgeRule
          Properties: { Pattern: { source: [shop], detail: { kind: [tea] } } }
        Often: { Type: Schedule, Properties: { Schedule: rate(1 minute), Enabled: false } }
  ProdOnly:
    Type: AWS::Serverless::Function
    Condition: IsProd
    Properties: { CodeUri: nowhere/, Handler: app.items }
  Jobs:
    Type: AWS::SQS::Queue
    Properties: { VisibilityTimeout: 1 }
"""
CODE = """
import json, os, pathlib

def items(event, context):
    said = {"greeting": os.environ["GREETING"], "own": os.environ["_HANDLER"], "event": event}
    return {"statusCode": 200, "body": json.dumps(said)}

def listed(event, context):
    told = [event["resource"], event["path"], event["queryStringParameters"]]
    return {"statusCode": 200, "body": json.dumps(["list", *told])}

def work(event, context):
    note = pathlib.Path(os.environ["PLACE"], "worked")
    failed = []
    with note.open("a") as out:
        for record in event.get("Records", [event]):
            print(json.dumps(record), file=out)
            wanted = pathlib.Path(os.environ["PLACE"], "failed-once")
            if record.get("body") == "fail once" and not wanted.exists():
                wanted.touch()
                failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""


@dataclass
class Dev:
    """A `torpor dev` of what was imported."""

    place: Path
    notes: str
    gateway: str = ""
    events: str = ""
    said: list[str] = field(default_factory=list)

    def worked(self) -> list[dict[str, Any]]:
        file = self.place / "worked"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    async def records(self, enough: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(45):
            while len(self.worked()) < enough:  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.05)
        return self.worked()


async def torpor(*words: object, status: int = 0) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == status, err.decode()
    return out.decode(), err.decode()


@asynccontextmanager
async def serving(folder: Path, state: Path, dev: Dev) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torpor.cli.main", "dev", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            while not any("logs in" in line for line in dev.said):
                line = (await process.stdout.readline()).decode()
                assert line, dev.said
                dev.said.append(line)
        reading = asyncio.create_task(process.stdout.read(), name="output")
        whole = "".join(dev.said)
        dev.gateway = re.findall(r"(http://127\.0\.0\.1:\d+)/function/", whole)[0]
        dev.events = re.findall(r"TORPOR_EVENTS=(\S+)", whole)[0]
        yield
        process.terminate()
        async with asyncio.timeout(30):
            await reading
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    project, place = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("place")
    (project / "src").mkdir()
    (project / "src" / "app.py").write_text(CODE)
    (project / "template.yaml").write_text(TEMPLATE)
    out, told = project / "out", ("--parameter", f"Place={place}")
    _, notes = await torpor("import", "sam", project / "template.yaml", "--out", out, *told)
    found = Dev(place, notes)
    async with serving(out, tmp_path_factory.mktemp("state"), found):
        yield found


async def _event(session: ClientSession, method: str, url: str) -> Any:
    async with session.request(method, url) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json" or "/things/" in url
        return json.loads(await answer.text())


async def test_a_rest_api_gives_the_event_of_its_route(dev: Dev) -> None:
    async with ClientSession() as session:
        url = f"{dev.gateway}/items/a%20b?x=1&x=2"
        said = await _event(session, "GET", url)
        event = said["event"]
        assert (said["greeting"], said["own"]) == ("hello from dev", "app.items")
        assert (event["resource"], event["path"]) == ("/items/{id}", "/items/a%20b")
        assert event["pathParameters"] == {"id": "a b"}
        assert event["httpMethod"] == event["requestContext"]["httpMethod"] == "GET"
        assert event["queryStringParameters"] == {"x": "2"}
        assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
        event = (await _event(session, "PUT", f"{dev.gateway}/items/7/a/b"))["event"]
        assert event["pathParameters"] == {"id": "7", "proxy": "a/b"}
        async with session.get(f"{dev.gateway}/items/7/a") as answer:
            assert (answer.status, await answer.json()) == (404, {"message": "Not Found"})


async def test_a_list_and_its_items_are_two_functions(dev: Dev) -> None:
    async with ClientSession() as session:
        said = await _event(session, "GET", f"{dev.gateway}/items?x=1")
        assert said == ["list", "/items", "/items", {"x": "1"}]
        said = await _event(session, "GET", f"{dev.gateway}/items/7")
        assert (said["own"], said["event"]["pathParameters"]) == ("app.items", {"id": "7"})
        async with session.get(f"{dev.gateway}/items/") as answer:
            assert (answer.status, await answer.json()) == (404, {"message": "Not Found"})
        async with session.post(f"{dev.gateway}/items") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET,PUT")


async def test_an_http_api_gives_format_two_with_its_parameters(dev: Dev) -> None:
    async with ClientSession() as session:
        event = (await _event(session, "DELETE", f"{dev.gateway}/things/tea"))["event"]
    assert (event["version"], event["routeKey"]) == ("2.0", "ANY /things/{kind}")
    assert event["pathParameters"] == {"kind": "tea"}
    assert event["requestContext"]["http"]["method"] == "DELETE"


@needs_node
async def test_a_node_handler_with_a_callback_answers_as_behind_a_rest_api(dev: Dev) -> None:
    async with ClientSession() as session:
        async with session.get(f"{dev.gateway}/pages/one?q=a&q=b") as answer:
            assert answer.status == 200, await answer.text()
            assert await answer.json() == ["/pages/{name}", {"name": "one"}, {"q": ["a", "b"]}]
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]


async def test_a_queue_gives_records_and_what_is_named_fails_alone(dev: Dev) -> None:
    async with ClientSession() as session:
        url = (await _sqs(session, dev, "GetQueueUrl", {"QueueName": "jobs"}))["QueueUrl"]
        sent = {}
        for body in ("one", '{"n": 2}', "fail once"):
            told = await _sqs(
                session,
                dev,
                "SendMessage",
                {
                    "QueueUrl": url,
                    "MessageBody": body,
                    "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "tea"}},
                },
            )
            sent[told["MessageId"]] = body
    found = await dev.records(4)
    records = [it for it in found if it.get("eventSource") == "aws:sqs"]
    assert [it["body"] for it in records].count("fail once") == 2
    assert {it["messageId"] for it in records} == set(sent)
    assert {json.dumps(json.loads(it["body"])) for it in records if it["body"][0] == "{"} == {
        '{"n": 2}'
    }
    assert records[0]["messageAttributes"]["kind"]["stringValue"] == "tea"
    assert records[0]["eventSourceARN"] == "arn:aws:sqs:us-east-1:000000000000:jobs"


async def test_a_rule_gives_the_event_of_eventbridge(dev: Dev) -> None:
    entries = [
        {"Source": "shop", "DetailType": "sold", "Detail": json.dumps({"kind": kind})}
        for kind in ("coffee", "tea")
    ]
    async with ClientSession() as session:
        headers = {
            "X-Amz-Target": "AWSEvents.PutEvents",
            "Content-Type": "application/x-amz-json-1.1",
        }
        body = json.dumps({"Entries": entries})
        async with session.post(dev.events, data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
    async with asyncio.timeout(30):
        while not (found := [it for it in dev.worked() if "detail-type" in it]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [(it["detail-type"], it["source"], it["detail"]) for it in found] == [
        ("sold", "shop", {"kind": "tea"})
    ]


async def _sqs(session: ClientSession, dev: Dev, name: str, body: Any) -> Any:
    headers = {
        "X-Amz-Target": f"AmazonSQS.{name}",
        "Content-Type": "application/x-amz-json-1.0",
    }
    async with session.post(dev.events, data=json.dumps(body), headers=headers) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        return json.loads(text)
