"""Handlers for AWS Lambda as they are printed in articles, run as they are with the AWS SDK.

AWS itself is a server here that
answers what the handlers ask DynamoDB, SQS and S3 for, and keeps what they sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.conformance.articles import folder, lines_with
from tests.integration.runtimes import NODE, free_port, needs_node, running

SDK = ("client-dynamodb", "lib-dynamodb", "client-sqs", "client-s3")
PROSE = re.compile(r"^[A-Z][^;{}=]*\.( |$)")
TOKEN = "t0ken"

pytestmark = [
    needs_node,
    pytest.mark.skipif(not folder().is_dir(), reason="TORPOR_ARTICLES names no folder of articles"),
]


def handler(name: str) -> str:
    """Return the source that is printed under the name of its file."""
    first = f"// src/handlers/{name}.js"
    lines = lines_with(first)
    found = lines[lines.index(first) :]
    end = next(number for number, line in enumerate(found) if number and _ends(line))
    return "\n".join(found[:end])


def _ends(line: str) -> bool:
    return bool(PROSE.match(line)) or line.startswith("// src/handlers/")


@pytest.fixture(scope="module")
def packages() -> Path:
    """Return a folder with the AWS SDK, installed once for all runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "torpor" / "aws-sdk-js"
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to install the AWS SDK with")
    if not all((place / "node_modules/@aws-sdk" / name).is_dir() for name in SDK):
        place.mkdir(parents=True, exist_ok=True)
        names = [f"@aws-sdk/{name}@3" for name in SDK]
        install = ("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", place)
        done = subprocess.run([*install, *names], capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, done.stderr
    return place / "node_modules"


ANSWERS: dict[str, Any] = {
    "GetItem": {"Item": {"id": {"S": "7"}, "kind": {"S": "tea"}}},
    "UpdateItem": {},
    "Scan": {"Items": [{"id": {"S": "1"}}, {"id": {"S": "2"}}]},
    "DeleteItem": {},
}


@asynccontextmanager
async def aws(seen: list[tuple[str, Any]]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        if "X-Amz-Target" not in request.headers:
            seen.append((f"{request.method} {request.path}", body))
            return web.Response()
        name = request.headers["X-Amz-Target"].rpartition(".")[2]
        seen.append((name, json.loads(body)))
        if name == "SendMessage":
            digest = hashlib.md5(json.loads(body)["MessageBody"].encode()).hexdigest()
            return _json({"MessageId": "m", "MD5OfMessageBody": digest})
        return _json(ANSWERS[name])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def _json(value: Any) -> web.Response:
    return web.json_response(value, content_type="application/x-amz-json-1.0")


async def invoked(
    place: Path, packages: Path, name: str, event: Any, seen: list[tuple[str, Any]]
) -> tuple[Any, list[dict[str, object]]]:
    """Return the result of a handler for an event, and what it logged."""
    source = handler(name)
    async with aws(seen) as url:
        extra = {
            "TORPOR_PAYLOAD": "lambda",
            "TORPOR_DETAIL_TOKEN": TOKEN,
            "NODE_PATH": str(packages),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "TABLE_NAME": "items",
            "REF_TABLE": "items",
            "BUCKET": "store",
            "QUEUE_URL": f"{url}/0/jobs",
        }
        async with (
            running(place, "main.handler", source, NODE, **extra) as runtime,
            ClientSession() as session,
        ):
            headers = {"Torpor-Detail": TOKEN}
            async with session.post(runtime.url, json=event, headers=headers) as answer:
                assert answer.status == 200, (await answer.text(), runtime.errors.read_text())
                return await answer.json(), runtime.lines()


async def test_an_item_is_read(tmp_path: Path, packages: Path) -> None:
    seen: list[tuple[str, Any]] = []
    event = {"pathParameters": {"id": "7"}}
    result, _ = await invoked(tmp_path, packages, "getItem", event, seen)
    assert (result["statusCode"], json.loads(result["body"])) == (200, {"id": "7", "kind": "tea"})
    assert seen == [("GetItem", {"TableName": "items", "Key": {"id": {"S": "7"}}})]


async def test_an_upload_is_queued(tmp_path: Path, packages: Path) -> None:
    seen: list[tuple[str, Any]] = []
    event = {"body": json.dumps({"id": "7", "key": "a/b"})}
    result, _ = await invoked(tmp_path, packages, "upload", event, seen)
    assert result["statusCode"] == 202
    [(name, sent)] = seen
    assert (name, json.loads(sent["MessageBody"])) == ("SendMessage", {"id": "7", "key": "a/b"})


async def test_queued_jobs_are_processed(tmp_path: Path, packages: Path) -> None:
    seen: list[tuple[str, Any]] = []
    records = [{"body": json.dumps({"id": number, "key": "k"})} for number in ("1", "2")]
    result, logged = await invoked(tmp_path, packages, "processJob", {"Records": records}, seen)
    assert result is None
    assert [(name, sent["Key"]["id"]["S"]) for name, sent in seen] == [
        ("UpdateItem", "1"),
        ("UpdateItem", "2"),
    ]
    assert "Processing 1 key k" in [line["msg"] for line in logged]


async def test_a_stream_is_enriched_and_stored(tmp_path: Path, packages: Path) -> None:
    seen: list[tuple[str, Any]] = []
    data = base64.b64encode(json.dumps({"eventId": "e1", "userId": "7"}).encode()).decode()
    record = {"kinesis": {"data": data, "approximateArrivalTimestamp": 1_700_000_000_000}}
    await invoked(tmp_path, packages, "enrichAndStore", {"Records": [record]}, seen)
    (first, _), (second, stored) = seen
    assert (first, second) == ("GetItem", "PUT /store/2023/11/14/e1.json")
    assert b'"ref":{"id":"7","kind":"tea"}' in stored


async def test_expired_items_are_deleted(tmp_path: Path, packages: Path) -> None:
    seen: list[tuple[str, Any]] = []
    result, logged = await invoked(tmp_path, packages, "dailyCleanup", {}, seen)
    assert result is None
    assert sorted(name for name, _ in seen) == ["DeleteItem", "DeleteItem", "Scan"]
    assert "Deleted 2 expired items" in [line["msg"] for line in logged]
