"""`events:putEvents` and `sqs:sendMessage`: into the buses and queues of the events role.

Names mean those of the Workflow's own namespace. As on AWS, a Detail and a MessageBody may be given
as JSON, the execution and its machine are added to the Resources of each entry, and an entry that
was not taken fails the task with EventBridge.FailedEntry. A task that is done again after a crash
has its events stored once, if that is within two minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from torpor.expressions.values import json_text
from torpor.platform.role_client import RoleClient
from torpor.workflows.asl.events import Input
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.outcomes import answered, arguments, failed, metadata

LONGEST_SECONDS = 60.0
_DEFAULT_BUS = "default"
_SERVICES = {
    "events": ("EventBridge", "AWSEvents.PutEvents", "application/x-amz-json-1.1"),
    "sqs": ("SQS", "AmazonSQS.SendMessage", "application/x-amz-json-1.0"),
}


class _Refused(Exception):
    """The task's error and cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass
class Events(RoleClient):
    """Does the tasks by the events API at `url`; use it as an async context.

    `token` is what the API is called with, empty where it asks for none.
    """

    async def run(self, job: Job) -> Input | None:
        """Publish the events, or send the message."""
        service = job.dispatch.resource.service
        prefix = _SERVICES[service][0]
        try:
            request = _entries(job) if service == "events" else _message(job)
            status, answer = await self._call(job, service, request)
            found = _result(prefix, status, answer)
        except _Refused as refused:
            return failed(job, refused.error, refused.cause)
        return answered(job, {**found, **metadata(job.key)})

    async def _call(self, job: Job, service: str, request: Mapping[str, Any]) -> tuple[int, bytes]:
        assert self._session is not None, "use Events as an async context"
        prefix, target, content_type = _SERVICES[service]
        seconds = min(job.dispatch.timeout or LONGEST_SECONDS, LONGEST_SECONDS)
        headers = {
            "Content-Type": content_type,
            "X-Amz-Target": target,
            "Idempotency-Key": job.key,
        }
        if job.trace:
            headers["traceparent"] = job.trace
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(self.url, data=orjson.dumps(request), headers=headers) as answer,
            ):
                return answer.status, await answer.read()
        except TimeoutError:
            text = f"the events API did not answer within {seconds:g} s"
            raise _Refused(f"{prefix}.SdkClientException", text) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Refused(f"{prefix}.SdkClientException", str(error)) from error


def _entries(job: Job) -> dict[str, Any]:
    entries = arguments(job).get("Entries")
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise _Refused("EventBridge.ValidationException", "Entries must be a list of objects.")
    return {"Entries": [_entry(job, each) for each in entries]}


def _entry(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    resources = given.get("Resources") or []
    own = [job.execution.arn, job.machine.arn]
    bus = str(given.get("EventBusName") or _DEFAULT_BUS)
    entry = {
        **given,
        "Detail": _text(given.get("Detail", {})),
        "Resources": [*resources, *own] if isinstance(resources, list) else resources,
        "EventBusName": _own_name(job, bus.rpartition("/")[2], "EventBridge"),
    }
    if isinstance(given.get("Time"), str):
        entry["Time"] = _seconds(given["Time"])
    return entry


def _message(job: Job) -> dict[str, Any]:
    given = arguments(job)
    url = given.get("QueueUrl")
    if not isinstance(url, str) or not url:
        raise _Refused("SQS.SdkClientException", "The parameters have no QueueUrl.")
    message = {
        **given,
        "QueueUrl": _own_name(job, url.rpartition("/")[2], "SQS"),
        "MessageBody": _text(given.get("MessageBody", "")),
    }
    return {"MessageDeduplicationId": _digest(job.key), **message}


def _own_name(job: Job, name: str, prefix: str) -> str:
    """The name with the Workflow's namespace, which is the only one that it may name."""
    namespace, home = name.rpartition(".")[0], job.machine.options.namespace
    if namespace not in ("", home):
        raise _Refused(f"{prefix}.AccessDeniedException", f"{name} is not of the namespace {home}")
    return name if namespace else f"{home}.{name}"


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else json_text(value)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        cause = f"Time {text[:64]!r} is no instant of RFC 3339"
        raise _Refused("EventBridge.ValidationException", cause) from None


def _digest(key: str) -> str:
    """At most 128 characters, of those that a deduplication id may have."""
    return hashlib.sha256(key.encode()).hexdigest()


def _result(prefix: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        text = f"the events API answered {status} and what is no JSON"
        raise _Refused(f"{prefix}.SdkClientException", text)
    if status != HTTPStatus.OK:
        code = str(found.get("__type", "Unknown")).rpartition("#")[2]
        name = code if code.endswith("Exception") else f"{code}Exception"
        raise _Refused(f"{prefix}.{name}", str(found.get("message", "")))
    if found.get("FailedEntryCount"):
        raise _Refused("EventBridge.FailedEntry", json_text(found))
    return found
