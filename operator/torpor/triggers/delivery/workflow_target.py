"""Workflows: an execution is started over the engine's API, named after the event's message.

So what is delivered again starts nothing twice: the engine answers that there is such an execution,
which is as good as having started it. The input is the event, or what the transform made of it; of
a batch it is an array.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import orjson

from torpor.platform.role_client import RoleClient
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.piece import Piece

_ABSENT = "StateMachineDoesNotExist"
_STARTED_BEFORE = "ExecutionAlreadyExists"
_BUSY = frozenset({"ExecutionLimitExceeded", "ThrottlingException", "StateMachineDeleting"})


class StartsExecutions(Protocol):
    """Starts executions of Workflows: `EngineClient`."""

    async def start(
        self, workflow: FunctionKey, name: str, content: bytes, trace: str, timeout_seconds: float
    ) -> Answer:
        """Start an execution of this name with this JSON as input."""
        ...


@dataclass
class EngineClient(RoleClient):
    """The Step Functions API of the engines at `url`; use it as an async context.

    `token` is what the API is called with, empty where it asks for none; `region` and `account` are
    those in the engines' ARNs.
    """

    region: str = "us-east-1"
    account: str = "000000000000"

    async def start(
        self, workflow: FunctionKey, name: str, content: bytes, trace: str, timeout_seconds: float
    ) -> Answer:
        """Start an execution; that there is one of this name is a success too."""
        assert self._session is not None, "use the EngineClient as an async context"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AWSStepFunctions.StartExecution",
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = {
            "stateMachineArn": self._arn(workflow),
            "name": name,
            "input": content.decode(),
            "traceHeader": trace,
        }
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._session.post(self.url, data=orjson.dumps(body), headers=headers) as answer,
            ):
                return _answer(answer.status, await answer.read())
        except TimeoutError:
            return Answer(None, f"the engine did not answer within {timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(None, f"the engine is away: {error}")

    def _arn(self, workflow: FunctionKey) -> str:
        machine = f"{workflow.namespace}.{workflow.name}"
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{machine}"


class WorkflowTarget:
    """One Workflow."""

    def __init__(self, engine: StartsExecutions | None, key: FunctionKey) -> None:
        self._engine = engine
        self._key = key

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Start an execution for one event."""
        return await self._start(piece, piece.identity, piece.content, timeout_seconds)

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Start an execution for all events together."""
        name = pieces[0].identity
        for piece in pieces[1:]:
            name = names.message_id("batch", name, piece.identity)
        contents = [piece.content for piece in pieces]
        return await self._start(pieces[0], name, contents, timeout_seconds)

    async def _start(self, first: Piece, name: str, content: Any, seconds: float) -> Answer:
        if self._engine is None:
            return Answer(None, "no engine is installed", absent=True)
        try:
            encoded = orjson.dumps(content)
        except TypeError as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"it cannot be sent: {error}")
        return await self._engine.start(self._key, name, encoded, first.trace, seconds)


def _answer(status: int, body: bytes) -> Answer:
    if status == HTTPStatus.OK:
        return Answer(status, body=body, content_type="application/json")
    code, message = _error(body)
    if code == _STARTED_BEFORE:
        return Answer(HTTPStatus.OK)
    text = f"{code}: {message}" if code else f"status {status}"
    if code in _BUSY:
        return Answer(HTTPStatus.TOO_MANY_REQUESTS, text)
    return Answer(status, text, absent=code == _ABSENT)


def _error(body: bytes) -> tuple[str, str]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("__type", "")).rpartition("#")[2], str(found.get("message", ""))
