"""The Lambda API behind a real data plane, and boto3 in front of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import ClientError

from tests.support.haproxy import ScriptedHolder, running_plane
from torpor.aws.access import Access
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.lambda_api.calls import AsyncCalls, Call, NoAsyncCalls
from torpor.gateway.lambda_api.memory import MEMORY_BYTES
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.lambda_api.server import LambdaApi, Parts
from torpor.gateway.lambda_api.serving import invoker
from torpor.gateway.routes import Routes
from torpor.gateway.terms import Terms
from torpor.resources.names import FunctionKey

SECRETS = {"AKIDEXAMPLE": "secret-of-the-example"}


@dataclass
class Catalog:
    """The functions that the gateway under test knows."""

    known: dict[FunctionKey, Terms]

    def terms(self, key: FunctionKey) -> Terms | None:
        return self.known.get(key)

    def functions(self) -> Collection[FunctionKey]:
        return self.known.keys()


@dataclass
class Stored:
    """Asynchronous calls, kept in memory."""

    calls: list[Call] = field(default_factory=list)

    async def take(self, call: Call) -> None:
        self.calls.append(call)


@dataclass
class Rig:
    """`lambda_url` is the API itself, past the data plane; empty where it is on a unix socket."""

    plane: HaproxyPlane | InProcessDataPlane
    holder: ScriptedHolder
    lambda_url: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.plane.port}"

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """One call of boto3, which blocks; its payload is read."""
        return await asyncio.to_thread(call, client(self.url), operation, **arguments)

    async def refused(self, operation: str, /, **arguments: Any) -> ClientError:
        """The error that boto3 raises for a call."""
        try:
            answer = await self.call(operation, **arguments)
        except ClientError as error:
            return error
        raise AssertionError(f"{operation} was answered: {answer}")


def client(url: str, secret: str = SECRETS["AKIDEXAMPLE"]) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def call(boto: Any, operation: str, /, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = getattr(boto, operation)(**arguments)
    if "Payload" in answer:
        answer["Payload"] = answer["Payload"].read()
    return answer


def context(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@asynccontextmanager
async def lambda_rig(
    known: dict[FunctionKey, Terms],
    *,
    key: bytes = b"k" * 32,
    asynchronous: AsyncCalls | None = None,
    access: Access | None = Access(SECRETS),  # noqa: B008 - frozen
    haproxy: bool = True,
    memory_bytes: int = MEMORY_BYTES,
) -> AsyncIterator[Rig]:
    """Yield the API of these functions, by HAProxy or in this process."""
    holder = ScriptedHolder()
    async with (
        _haproxy(holder, known) if haproxy else _inprocess(holder, known) as plane,
        invoker(f"http://127.0.0.1:{plane.port}", key) as invoking,
    ):
        parts = Parts(
            Catalog(known),
            invoking,
            Place(),
            access,
            asynchronous or NoAsyncCalls(),
            memory_bytes=memory_bytes,
        )
        api = LambdaApi(parts)
        if isinstance(plane, HaproxyPlane):
            await api.start_at(plane.lambda_socket)
        else:
            await api.start("127.0.0.1", 0)
            plane.set_lambda(Server("lambda", "127.0.0.1", api.port, 0))
        try:
            yield Rig(plane, holder, f"http://127.0.0.1:{api.port}" if api.port else "")
        finally:
            await api.stop()


@asynccontextmanager
async def _haproxy(
    holder: ScriptedHolder, known: Collection[FunctionKey]
) -> AsyncIterator[HaproxyPlane | InProcessDataPlane]:
    async with running_plane(holder, *known) as plane:
        yield plane


@asynccontextmanager
async def _inprocess(
    holder: ScriptedHolder, known: Collection[FunctionKey]
) -> AsyncIterator[HaproxyPlane | InProcessDataPlane]:
    plane = InProcessDataPlane("127.0.0.1", 0)
    await plane.start(holder)
    try:
        await plane.set_routes(Routes.of(known, "localhost", "cluster.local"))
        yield plane
    finally:
        await plane.stop()
