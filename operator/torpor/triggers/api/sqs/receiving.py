"""ReceiveMessage, DeleteMessage, ChangeMessageVisibility: a queue read by a client."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.aws.errors import Refused
from torpor.errors import TorporError
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.sqs import errors
from torpor.triggers.api.sqs.attributes import Attributes, chosen, md5_of_attributes, md5_of_text
from torpor.triggers.api.sqs.envelope import (
    DEDUPLICATION,
    GROUP,
    attributes_of,
    body_of,
    members_of,
    sequence_number,
)
from torpor.triggers.api.sqs.members import Members
from torpor.triggers.api.sqs.queues import Queue, Queues
from torpor.triggers.api.sqs.sending import failed_entry
from torpor.triggers.api.sqs.taking import Taking, receives
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import OVERLAPPING_CONSUMER, STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.objects import ObjectMissing
from torpor.triggers.broker.pulling import Message
from torpor.triggers.broker.receipts import Receipts
from torpor.triggers.event import from_structured

_RECEIPT = re.compile(r"\$JS\.ACK\.[A-Za-z0-9_.+-]+")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a receiver wants."""

    most: int
    visible_after: int
    wait_seconds: float
    system: tuple[str, ...]
    attributes: list[str]


class Receiving:
    """The calls of a receiver."""

    def __init__(self, parts: ApiParts, queues: Queues) -> None:
        self._parts = parts
        self._queues = queues
        self._receipts = Receipts(parts.connection)
        self._taking = Taking(parts)

    async def receive_message(self, request: Members, _: str) -> dict[str, Any]:
        """Return up to ten messages, at once if there are any, else what comes within the wait."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        self._check_free(queue)
        asked = _asked(request, queue)
        try:
            messages = await self._taking.take(
                queue, asked.most, asked.visible_after, asked.wait_seconds
            )
        except BrokerRefused as error:
            raise _refusal(error) from error
        told = [await self._told(message, asked) for message in messages]
        whole = [each for each in told if each is not None]
        if told and not whole:
            raise errors.body_missing()
        return {"Messages": whole} if whole else {}

    async def delete_message(self, request: Members, _: str) -> dict[str, Any]:
        """Have a message done."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        await self._delete(queue, request)
        return {}

    async def delete_message_batch(self, request: Members, _: str) -> dict[str, Any]:
        """Have up to ten messages done."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        done, failed = [], []
        for entry_id, entry in request.entries().items():
            try:
                await self._delete(queue, entry)
                done.append({"Id": entry_id})
            except Refused as refused:
                failed.append(failed_entry(entry_id, refused))
        return {"Successful": done, "Failed": failed}

    async def change_message_visibility(self, request: Members, _: str) -> dict[str, Any]:
        """Have a message come again at another time."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        await self._change(queue, request)
        return {}

    async def change_message_visibility_batch(self, request: Members, _: str) -> dict[str, Any]:
        """Have up to ten messages come again at other times."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        done, failed = [], []
        for entry_id, entry in request.entries().items():
            try:
                await self._change(queue, entry)
                done.append({"Id": entry_id})
            except Refused as refused:
                failed.append(failed_entry(entry_id, refused))
        return {"Successful": done, "Failed": failed}

    async def close(self) -> None:
        """Stop listening."""
        await self._taking.close()

    def _check_free(self, queue: Queue) -> None:
        reader = self._queues.reader(queue.key)
        if reader is not None:
            raise errors.unsupported(
                f"The queue is read by the Trigger {reader}: its messages go to that one's target. "
                "Delete the Trigger to receive them here."
            )

    async def _told(self, message: Message, asked: _Asked) -> dict[str, Any] | None:
        """Return a message as it is told; None when the object store no longer has its body."""
        members = members_of(message.data)
        body = body_of(message.data, message.headers) or await self._held(message)
        if body is None:
            return None
        attributes = chosen(attributes_of(members), asked.attributes)
        system = _system(message, members, asked.system)
        told: dict[str, Any] = {
            "MessageId": str(members["id"]),
            "ReceiptHandle": _handle(message.receipt),
            "MD5OfBody": md5_of_text(body),
            "Body": body,
        }
        if system:
            told["Attributes"] = system
        return {**told, **_with_digest(attributes)}

    async def _held(self, message: Message) -> str | None:
        event = from_structured(message.data)
        reference = str(event.attributes.get("dataref", ""))
        try:
            return (await self._parts.objects.get(reference)).decode()
        except ObjectMissing:
            return None

    async def _delete(self, queue: Queue, request: Members) -> None:
        await self._receipts.ack(_receipt(request, queue))

    async def _change(self, queue: Queue, request: Members) -> None:
        seconds = request.integer("VisibilityTimeout", 0, 43_200)
        if seconds is None:
            raise errors.missing("VisibilityTimeout")
        await self._receipts.put_off(_receipt(request, queue), seconds)


def _asked(request: Members, queue: Queue) -> _Asked:
    most = request.integer("MaxNumberOfMessages", 1, 10)
    visible_after = request.integer("VisibilityTimeout", 0, 43_200)
    wait = request.integer("WaitTimeSeconds", 0, 20)
    numbers = queue.attributes.number
    default_wait = numbers("ReceiveMessageWaitTimeSeconds") or 0
    return _Asked(
        most or 1,
        (numbers("VisibilityTimeout") or 0) if visible_after is None else visible_after,
        default_wait if wait is None else wait,
        (*request.texts("AttributeNames"), *request.texts("MessageSystemAttributeNames")),
        request.texts("MessageAttributeNames"),
    )


def _system(
    message: Message, members: Mapping[str, Any], wanted: tuple[str, ...]
) -> dict[str, str]:
    sent = str(int(message.stored_seconds * 1000))
    found = {
        "SenderId": "torpor",
        "SentTimestamp": sent,
        "ApproximateReceiveCount": str(receives(message)),
        "ApproximateFirstReceiveTimestamp": sent,
    }
    if GROUP in members:
        found["MessageGroupId"] = str(members[GROUP])
    if DEDUPLICATION in message.headers:
        found["MessageDeduplicationId"] = message.headers[DEDUPLICATION]
        found["SequenceNumber"] = sequence_number(message.seq)
    if "traceparent" in members:
        found["AWSTraceHeader"] = str(members["traceparent"])
    return found if "All" in wanted else {k: v for k, v in found.items() if k in wanted}


def _with_digest(attributes: Attributes) -> dict[str, Any]:
    if not attributes:
        return {}
    return {
        "MessageAttributes": attributes,
        "MD5OfMessageAttributes": md5_of_attributes(attributes),
    }


def _handle(receipt: str) -> str:
    return base64.urlsafe_b64encode(receipt.encode()).decode()


def _receipt(request: Members, queue: Queue) -> str:
    """The receipt in a handle; a handle of another queue is none."""
    handle = request.required_text("ReceiptHandle")
    try:
        receipt = base64.urlsafe_b64decode(handle.encode("ascii")).decode("ascii")
    except (UnicodeError, binascii.Error, ValueError):
        raise errors.bad_receipt(handle) from None
    owners = [f".{queue.stream}.{each}." for each in names.receivers_consumers(queue.stream)]
    if _RECEIPT.fullmatch(receipt) is None or not any(owner in receipt for owner in owners):
        raise errors.bad_receipt(handle)
    return receipt


def _refusal(error: BrokerRefused) -> Refused | TorporError:
    if error.err_code == STREAM_NOT_FOUND:
        return errors.queue_missing()
    if error.err_code in OVERLAPPING_CONSUMER:
        return errors.unsupported("The queue is read by a Trigger.")
    return error
