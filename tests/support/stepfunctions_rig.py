"""A running execution API with a real boto3 client in front of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.memory_engine import Function, MemoryEngine, MemoryRecords, RealOutside
from tests.support.stepfunctions_model import check_answer
from torpor.workflows.engine.base import Api
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.stepfunctions.server import Server
from torpor.workflows.stepfunctions.service import Service, Settings, TaskRunner

ROLE = "arn:aws:iam::000000000000:role/any"
SHORT_POLL = Settings(poll_seconds=0.1)


def make_client(port: int, key: str = "key", secret: str = "secret") -> Any:
    """A boto3 client of an API on this machine; it sends everything once."""
    return _client(f"http://127.0.0.1:{port}", key, secret, {}, inject_host_prefix=False)


def make_proxied_client(port: int, endpoint_url: str) -> Any:
    """A client whose every host name is this machine, as with a wildcard in DNS."""
    proxies = {"http": f"http://127.0.0.1:{port}"}
    return _client(endpoint_url, "key", "secret", proxies, inject_host_prefix=True)


def _client(
    url: str, key: str, secret: str, proxies: dict[str, str], *, inject_host_prefix: bool
) -> Any:
    client = boto3.client(
        "stepfunctions",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(
            inject_host_prefix=inject_host_prefix,
            retries={"total_max_attempts": 1},
            proxies=proxies,
            connect_timeout=5,
            read_timeout=20,
            max_pool_connections=20,
        ),
    )
    client.meta.events.register("before-parse.stepfunctions", _check)
    return client


def _check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Every answer that any test gets is held against AWS's model."""
    if response_dict["status_code"] == 200:
        check_answer(operation_model, response_dict["body"])


@dataclass
class Rig:
    """Calls with boto3's names and arguments, each in a thread of its own."""

    client: Any
    port: int
    records: MemoryRecords = field(default_factory=MemoryRecords)
    engine: MemoryEngine | None = None

    async def __call__(self, call: str, **arguments: Any) -> dict[str, Any]:
        """One call's answer without the metadata."""
        method: Callable[..., Any] = getattr(self.client, call)
        work = functools.partial(method, **arguments)
        answer = dict(await asyncio.wait_for(asyncio.to_thread(work), 30))
        answer.pop("ResponseMetadata")
        return answer

    async def refusal(self, call: str, **arguments: Any) -> tuple[str, str]:
        """The code and message with which a call is refused."""
        try:
            answer = await self(call, **arguments)
        except ClientError as refused:
            return refused.response["Error"]["Code"], refused.response["Error"]["Message"]
        raise AssertionError(f"{call} answered {answer}")


@asynccontextmanager
async def serving(
    settings: Settings = SHORT_POLL,
    functions: Mapping[str, Function] | None = None,
    tasks: TaskRunner | None = None,
) -> AsyncIterator[Rig]:
    """An API over memory."""
    records = MemoryRecords()
    engine = MemoryEngine(records, functions or {})
    ledger, api = cast(Ledger, records), cast(Api, engine)
    service = Service(ledger, api, RealOutside(), b"k" * 32, settings, tasks)
    server = Server(service)
    await server.start("127.0.0.1", 0)
    client = make_client(server.port)
    try:
        yield Rig(client, server.port, records, engine)
    finally:
        client.close()
        await server.stop()
