"""Lambda tasks: the Function of that name is invoked through the gateway.

The request is a POST of the payload as JSON, with the task's key as `Idempotency-Key`: a function
that must not do its work twice compares it. Answers are read as AWS reads Lambda's:

- 2xx: the body is the result. A JSON body is parsed, another text is a string, no body is null.
- An error status, or the header `X-Amz-Function-Error`, with a JSON object that has `errorType`:
  that is the Error Name, and the body is the Cause; of a problem (RFC 9457), as the runtimes of
  Torpor answer an exception, the Cause is JSON with errorMessage, errorType, requestId and
  stackTrace, as Lambda's.
- Any other error status: `Lambda.TooManyRequestsException` (429),
  `Lambda.ResourceNotFoundException` (the gateway knows no such function),
  `Lambda.ServiceException` (502, 503 and 504), else `Lambda.Unknown`; the Cause is JSON with
  errorType and errorMessage.

With InvocationType Event the task ends when the function answered or after `EVENT_SECONDS`,
whichever is first: a refusal that comes in that time (no such function, too many requests, no
gateway) fails the task, and anything else is its success with status 202. The call itself goes on
in this process, and how it fails is only logged. It is not stored: the end of the process ends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import orjson

from torpor.errors import UnknownFunction
from torpor.expressions.values import json_text
from torpor.invoke import GatewayAway, InvokeTimeout, Response
from torpor.resources.names import FunctionKey
from torpor.workflows.asl.events import Input
from torpor.workflows.asl.resource import function_name
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.outcomes import (
    answered,
    arguments,
    failed,
    metadata,
    succeeded,
)

log = logging.getLogger(__name__)

LONGEST_SECONDS = 86_400.0
"""How long a function may take when its task has no TimeoutSeconds."""
EVENT_SECONDS = 1.0
"""How long a task with InvocationType Event waits for a refusal."""
MOST_EVENTS = 1_000
"""How many such calls may go on after their tasks ended."""
_REFUSALS = (
    "Lambda.ResourceNotFoundException",
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.SdkClientException",
)
_QUOTED = 2_000
_SERVICE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class Invokes(Protocol):
    """What invokes functions: `torpor.invoke.Invoker`."""

    async def invoke(
        self,
        key: FunctionKey,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> Response:
        """Return the answer to one request of the function."""


class BadAnswer(Exception):
    """The function failed, or answered what is no result."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


class Functions:
    """Does `lambda:invoke` and the tasks whose Resource is a function's ARN."""

    def __init__(self, invoker: Invokes) -> None:
        self._invoker = invoker
        self._events: set[asyncio.Task[BadAnswer | None]] = set()

    async def run(self, job: Job) -> Input | None:
        """Invoke the function; its answer is the outcome."""
        try:
            if job.dispatch.resource.direct:
                return await self._direct(job)
            return await self._integrated(job)
        except BadAnswer as bad:
            return failed(job, bad.error, bad.cause)

    async def _direct(self, job: Job) -> Input:
        resource, seconds = job.dispatch.resource, _seconds(job)
        assert resource.name is not None, "the ARN of a function has its name"
        key = _key(job, resource.text, resource.name)
        value, text = _result(await self._call(job, key, job.dispatch.argument.text, seconds))
        return succeeded(job, value, text)

    async def _integrated(self, job: Job) -> Input:
        given = arguments(job)
        name = given.get("FunctionName")
        if not isinstance(name, str):
            cause = "The parameters have no FunctionName, or it is not a string."
            raise BadAnswer("Lambda.InvalidParameterValueException", cause)
        payload = given.get("Payload")
        text = "{}" if payload is None else json_text(payload)
        key = _key(job, name, name)
        if given.get("InvocationType") == "Event":
            await self._sent(job, key, text)
            return answered(job, {"Payload": "", "StatusCode": 202, **metadata(job.key, 202)})
        response = await self._call(job, key, text, _seconds(job))
        value, _ = _result(response)
        result = {
            "ExecutedVersion": "$LATEST",
            "Payload": value,
            **metadata(response.request_id),
            "StatusCode": 200,
        }
        return answered(job, result)

    async def _sent(self, job: Job, key: FunctionKey, body: str) -> None:
        """Invoke the function and wait a little for a refusal, which is raised as BadAnswer."""
        event = asyncio.create_task(self._event(job, key, body), name=f"event {job.key}")
        self._events.add(event)
        event.add_done_callback(self._events.discard)
        # With too many calls under way a task waits for the whole of its own.
        seconds = EVENT_SECONDS if len(self._events) <= MOST_EVENTS else None
        try:
            await asyncio.wait([event], timeout=seconds)
        except asyncio.CancelledError:
            event.cancel()
            raise
        refused = event.result() if event.done() else None
        if refused is not None and refused.error in _REFUSALS:
            raise refused

    async def _event(self, job: Job, key: FunctionKey, body: str) -> BadAnswer | None:
        """The whole call; how it failed, None when it did not."""
        try:
            _result(await self._call(job, key, body, LONGEST_SECONDS))
        except BadAnswer as bad:
            # What an exception says may show data: the function's own log has it.
            problem = str(bad) if bad.error in _REFUSALS else bad.error
            fields = {"function": str(key), "task": job.key, "problem": problem}
            log.warning("an event's function failed", extra={"fields": fields})
            return bad
        return None

    async def _call(self, job: Job, key: FunctionKey, body: str, seconds: float) -> Response:
        try:
            return await self._invoker.invoke(
                key, "POST", "/", _headers(job), body.encode(), seconds
            )
        except InvokeTimeout as error:
            raise BadAnswer("States.Timeout", str(error)) from error
        except GatewayAway as error:
            raise _plain("Lambda.SdkClientException", str(error)) from error


def _seconds(job: Job) -> float:
    return job.dispatch.timeout or LONGEST_SECONDS


def _headers(job: Job) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": job.key,
        "X-Torpor-Execution": job.execution.arn,
    }
    if job.trace:
        headers["traceparent"] = job.trace
    return headers


def _key(job: Job, text: str, name: str) -> FunctionKey:
    """The Function that a Resource string or FunctionName means for this machine."""
    options = job.machine.options
    mapped = options.resources.get(text) or options.resources.get(name)
    found = mapped or function_name(name)
    if found is None or "/" in found:
        cause = f"{name!r} cannot be the name of a Function: map it in spec.resources."
        raise _plain("Lambda.ResourceNotFoundException", cause)
    return FunctionKey(options.namespace, found)


def _result(response: Response) -> tuple[Any, str | None]:
    """The function's result and its JSON text; raises BadAnswer."""
    if response.status >= HTTPStatus.BAD_REQUEST or _field(response, "X-Amz-Function-Error"):
        raise _failure(response)
    kind = _field(response, "Content-Type").partition(";")[0].strip().lower()
    if not response.body:
        return None, None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return orjson.loads(response.body), None
        except ValueError as error:
            raise _plain("Lambda.Unknown", f"the answer is not JSON: {error}") from error
    try:
        text = response.body.decode()
    except UnicodeDecodeError as error:
        raise _plain("Lambda.Unknown", f"the answer is neither JSON nor text: {error}") from error
    return _text_result(text, kind), None


def _text_result(text: str, kind: str) -> Any:
    if kind:
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _failure(response: Response) -> BadAnswer:
    text = response.body.decode(errors="replace")
    body = _object(text)
    named = body.get("errorType")
    if isinstance(named, str) and named:
        return BadAnswer(named, _cause(response, named, body) if "detail" in body else text)
    message = body.get("detail") or body.get("errorMessage") or text[:_QUOTED]
    if body.get("code") == UnknownFunction.code:
        return _plain("Lambda.ResourceNotFoundException", str(message))
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _plain("Lambda.TooManyRequestsException", str(message))
    if response.status in _SERVICE:
        return _plain("Lambda.ServiceException", str(message))
    return _plain("Lambda.Unknown", f"status {response.status}: {message}")


def _cause(response: Response, error: str, problem: Mapping[str, Any]) -> str:
    """What Lambda tells of an exception, of a problem."""
    told: dict[str, Any] = {
        "errorMessage": str(problem.get("errorMessage", problem["detail"])),
        "errorType": error,
        "requestId": str(problem.get("requestId") or response.request_id),
    }
    if "stackTrace" in problem:
        told["stackTrace"] = problem["stackTrace"]
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def _plain(error: str, message: str) -> BadAnswer:
    cause = {"errorType": error, "errorMessage": message}
    return BadAnswer(error, json.dumps(cause, separators=(",", ":"), ensure_ascii=False))


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _field(response: Response, name: str) -> str:
    found = (v for k, v in response.headers.items() if k.lower() == name.lower())
    return next(found, "")
