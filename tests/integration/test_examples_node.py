"""The example in Node.js with the AWS SDK, an SQS of Torpor's and a DynamoDB of moto's.

The same is done with the handlers that an article prints, as they are printed there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from aiohttp import ClientSession
from moto.server import ThreadedMotoServer

from tests.conformance.articles import folder as articles
from tests.conformance.test_article_node import handler, packages
from tests.integration.runtimes import needs_node
from tests.support.examples_rig import EXAMPLES, Session, serving, state_folder
from tests.support.servers.nats import needs_nats

pytestmark = [needs_nats, needs_node]
__all__ = ["packages"]
TABLE = "http://127.0.0.1:8456"
SDK = "/tmp/torpor-sdk/node_modules"
PRINTED = ("upload", "processJob")


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    """The table `items` of a DynamoDB, and where that is."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    try:
        yield resource.create_table(
            TableName="items",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    finally:
        server.stop()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, packages: Path, table: Any) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("examples")
    text = (EXAMPLES / "upload-queue-worker" / "upload.yaml").read_text()
    url = table.meta.client.meta.endpoint_url
    for word, other in ((TABLE, url), (SDK, str(packages))):
        assert word in text
        text = text.replace(word, other)
    (folder / "upload.yaml").write_text(text)
    if articles().is_dir():
        (folder / "printed.yaml").write_text(_printed(text))
    with state_folder() as state, serving(folder, state) as session:
        yield session


def _printed(text: str) -> str:
    """The example under other names, with the article's code."""
    for word in ("upload-code", "job-queue", "path: /upload", "name: upload", "name: process-job"):
        assert word in text
        before, _, name = word.rpartition(" ")
        other = name.replace("/", "/printed-") if "/" in name else f"printed-{name}"
        text = text.replace(word, f"{before} {other}".strip())
    documents = list(yaml.safe_load_all(text))
    [code] = [each for each in documents if "upload.js" in each.get("data", {})]
    code["data"] = {f"{name}.js": handler(name) for name in PRINTED}
    return yaml.safe_dump_all(documents)


async def uploaded(dev: Session, path: str, body: Any) -> tuple[int, Any]:
    url, data = dev.gateway + path, json.dumps(body)
    async with ClientSession() as client, client.post(url, data=data) as answer:
        return answer.status, json.loads(await answer.text())


def item_of(table: Any, number: str) -> dict[str, Any]:
    found: dict[str, Any] = table.get_item(Key={"id": number}).get("Item", {})
    return found


async def test_an_upload_is_taken_at_once_and_processed_later(dev: Session, table: Any) -> None:
    assert await uploaded(dev, "/upload", {"id": "7", "key": "a/b"}) == (
        202,
        {"id": "7", "status": "queued"},
    )
    await dev.until(lambda: item_of(table, "7").get("status") == "processed")
    assert item_of(table, "7")["key"] == "a/b"


async def test_an_upload_without_an_id_is_refused(dev: Session) -> None:
    status, said = await uploaded(dev, "/upload", {"key": "a/b"})
    assert (status, said) == (400, {"error": "give an id and a key"})


@pytest.mark.skipif(not articles().is_dir(), reason="TORPOR_ARTICLES names no folder of articles")
async def test_the_handlers_of_an_article_do_the_same(dev: Session, table: Any) -> None:
    assert await uploaded(dev, "/printed-upload", {"id": "8", "key": "a/b"}) == (
        202,
        {"id": "8", "status": "queued"},
    )
    await dev.until(lambda: item_of(table, "8").get("status") == "processed")
    assert any("Processing 8 key a/b" in line for line in dev.logged("printed-process-job"))
