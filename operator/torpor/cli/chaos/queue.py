"""Fills a queue by the SQS API, as any producer would."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from torpor.cli import eventsreach
from torpor.cli.chaos.outcome import Outcome
from torpor.cli.eventsreach import Events, EventsRefused
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey

_BATCH = 10
"""What SendMessageBatch takes."""
_FIFO = ".fifo"
_DEFAULT = "default"
"""The namespace of queues whose names for SQS have none."""
_NAMED = 20
_MISSING = "QueueDoesNotExist"


class NoSuchQueue(TorporError):
    """There is no queue of that name, and none is made for it."""

    code = "no-such-queue"


async def fill(args: argparse.Namespace, key: FunctionKey) -> Outcome:
    """Send the messages, ten a call; NoSuchQueue, or EventsRefused if no more are taken."""
    async with eventsreach.public(args) as api:
        url = await _queue(api, key)
        marks = uuid.uuid4().hex[:8]
        for first in range(0, args.messages, _BATCH):
            numbers = range(first, min(first + _BATCH, args.messages))
            entries = [_entry(key, args.body, marks, number) for number in numbers]
            await _call(api, "SendMessageBatch", {"QueueUrl": url, "Entries": entries})
    return Outcome(
        did=f"queue {key}: {args.messages:,} messages sent",
        lost="nothing: each waits until its Trigger's target has taken it",
        watch=f"torpor trigger list -n {key.namespace}: the lag, and what of it is in flight",
    )


async def _queue(api: Events, key: FunctionKey) -> str:
    name = f"{key.namespace}.{key.name}"
    try:
        found = await _call(api, "GetQueueUrl", {"QueueName": name})
    except EventsRefused as refused:
        if refused.reason != _MISSING:
            raise
        there = await _queues(api, key.namespace)
        raise NoSuchQueue(f"there is no queue {key}: {_told(there, key.namespace)}") from refused
    return str(found["QueueUrl"])


async def _queues(api: Events, namespace: str) -> list[str]:
    found = await _call(api, "ListQueues", {})
    keys = [_spoken_of(url.rpartition("/")[2]) for url in found["QueueUrls"]]
    return [key.name for key in keys if key.namespace == namespace]


def _spoken_of(name: str) -> FunctionKey:
    """Return the queue that SQS's clients call so: `namespace.name`, or a name in `default`."""
    plain = name.removesuffix(_FIFO)
    namespace, dot, rest = plain.partition(".")
    return FunctionKey(namespace, rest + name[len(plain) :]) if dot else FunctionKey(_DEFAULT, name)


def _told(names: list[str], namespace: str) -> str:
    if not names:
        return f"{namespace} has none; a Trigger that reads one, or CreateQueue, makes it"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{namespace} has {', '.join(names[:_NAMED])}{more}"


def _entry(key: FunctionKey, body: str, marks: str, number: int) -> dict[str, Any]:
    entry = {"Id": str(number), "MessageBody": body.replace("{n}", str(number))}
    if key.name.endswith(_FIFO):
        entry |= {"MessageGroupId": "chaos", "MessageDeduplicationId": f"{marks}-{number}"}
    return entry


async def _call(api: Events, name: str, body: Any) -> Any:
    headers = {"X-Amz-Target": f"AmazonSQS.{name}", "Content-Type": "application/x-amz-json-1.0"}
    found = await api.call("POST", "/", body, headers)
    failed = found.get("Failed") if isinstance(found, dict) else None
    if failed:
        raise EventsRefused(f"{failed[0].get('Code')}: {failed[0].get('Message')}")
    return found
