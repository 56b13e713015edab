"""SendMessage and SendMessageBatch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.aws.errors import Refused
from torpor.telemetry.metrics import EVENTS_PUBLISHED
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.sqs import errors
from torpor.triggers.api.sqs.attributes import (
    Attributes,
    check_attributes,
    md5_of_attributes,
    md5_of_text,
    size_bytes,
)
from torpor.triggers.api.sqs.envelope import (
    DEDUPLICATION,
    Enveloped,
    Letter,
    envelop,
    envelop_held,
    sequence_number,
)
from torpor.triggers.api.sqs.members import Members
from torpor.triggers.api.sqs.queue_attributes import MOST_BYTES
from torpor.triggers.api.sqs.queues import Queue, Queues
from torpor.triggers.broker import names
from torpor.triggers.broker.link import NoResponders
from torpor.triggers.broker.objects import LARGE_BYTES
from torpor.triggers.broker.publishing import Outgoing, Stored
from torpor.triggers.delays import delayed
from torpor.triggers.event import MalformedEvent

_PUBLISH_SECONDS = 8.0
_NOT_ALLOWED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_GROUP = re.compile(r"[!-~]{1,128}")
_TRACE = "AWSTraceHeader"


@dataclass(frozen=True, slots=True)
class _Sendable:
    """A message that was checked. `deduplication` empty: its id alone tells it apart."""

    letter: Letter
    system: Attributes
    delay_seconds: int
    deduplication: str
    scope: str
    """What the deduplication id is unique in, within the queue."""

    @property
    def size_bytes(self) -> int:
        return len(self.letter.body.encode()) + size_bytes(self.letter.attributes)


class Sending:
    """The two calls."""

    def __init__(self, parts: ApiParts, queues: Queues) -> None:
        self._parts = parts
        self._queues = queues

    async def send_message(self, request: Members, _: str) -> dict[str, Any]:
        """Put one message into a queue."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        sendable = self._sendable(request, queue)
        (stored,) = await self._publish(queue, [sendable])
        return _sent(sendable, queue, stored)

    async def send_message_batch(self, request: Members, _: str) -> dict[str, Any]:
        """Put up to ten messages into a queue; what is wrong with one leaves the others alone."""
        queue = await self._queues.at(request.required_text("QueueUrl"))
        sendables: dict[str, _Sendable] = {}
        failed: list[dict[str, Any]] = []
        for entry_id, entry in request.entries().items():
            try:
                sendables[entry_id] = self._sendable(entry, queue)
            except Refused as refused:
                failed.append(failed_entry(entry_id, refused))
        size = sum(each.size_bytes for each in sendables.values())
        if size > MOST_BYTES:
            raise errors.large_batch(size, MOST_BYTES)
        stored = await self._publish(queue, list(sendables.values()))
        sent = [
            {"Id": entry_id, **_sent(each, queue, at)}
            for (entry_id, each), at in zip(sendables.items(), stored, strict=True)
        ]
        return {"Successful": sent, "Failed": failed}

    def _sendable(self, request: Members, queue: Queue) -> _Sendable:
        system = check_attributes(request.mapping("MessageSystemAttributes"))
        group, deduplication, scope = _identity(request, queue)
        letter = Letter(
            self._parts.new_id(),
            _body(request),
            check_attributes(request.mapping("MessageAttributes")),
            self._parts.wall(),
            group,
            system.get(_TRACE, {}).get("StringValue", ""),
        )
        sendable = _Sendable(
            letter,
            system,
            _delay_seconds(request, queue),
            deduplication,
            scope,
        )
        most = queue.attributes.number("MaximumMessageSize") or MOST_BYTES
        if sendable.size_bytes > most:
            reason = f"Message must be shorter than {most} bytes."
            text = f"One or more parameters are invalid. Reason: {reason}"
            raise Refused("InvalidParameterValue", text)
        return sendable

    async def _publish(self, queue: Queue, sendables: list[_Sendable]) -> list[Stored]:
        messages = [await self._message(queue, each) for each in sendables]
        publisher, ordered = self._parts.publisher, self._parts.partitions.ordered(queue.key)
        publish = publisher.publish_in_order if ordered else publisher.publish_batch
        try:
            stored = await publish(messages, deadline_seconds=_PUBLISH_SECONDS)
        except NoResponders:
            await self._queues.fresh(queue.key)
            raise
        EVENTS_PUBLISHED.labels("queue").inc(len(messages))
        return stored

    async def _message(self, queue: Queue, sendable: _Sendable) -> Outgoing:
        try:
            enveloped = await self._enveloped(queue, sendable.letter)
        except MalformedEvent as error:
            raise errors.bad_contents(str(error)) from None
        key = queue.key
        partition = self._parts.partitions.partition(key, enveloped.event)
        headers: Mapping[str, str] = enveloped.headers
        if sendable.delay_seconds:
            headers = {**headers, **delayed(self._parts.wall() + sendable.delay_seconds)}
        if names.is_fifo(key.name):
            headers = {**headers, DEDUPLICATION: sendable.deduplication}
        unique = sendable.deduplication or sendable.letter.message_id
        return Outgoing(
            names.queue_subject(key.namespace, key.name, partition),
            enveloped.data,
            names.message_id(sendable.scope, unique, str(key)),
            headers,
        )

    async def _enveloped(self, queue: Queue, letter: Letter) -> Enveloped:
        raw = letter.body.encode()
        if len(raw) <= LARGE_BYTES:
            return envelop(letter, queue.key)
        return envelop_held(letter, queue.key, await self._parts.objects.put(raw))


def failed_entry(entry_id: str, refused: Refused) -> dict[str, Any]:
    """Return the entry of a batch's answer for what was not done."""
    return {
        "Id": entry_id,
        "SenderFault": refused.status < 500,
        "Code": refused.query_code or refused.code,
        "Message": refused.message,
    }


def _body(request: Members) -> str:
    body = request.required_text("MessageBody")
    if _NOT_ALLOWED.search(body) is not None:
        raise errors.bad_contents(
            "Invalid binary character was found in the message body, the set of allowed "
            "characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to "
            "#x10FFFF"
        )
    return body


def _token(request: Members, name: str) -> str:
    """Return the group or deduplication id, an empty text where there is none."""
    text = request.text(name)
    if text is None:
        return ""
    if _GROUP.fullmatch(text) is None:
        reason = "It can be at most 128 alphanumeric and punctuation characters."
        raise errors.invalid(name, text[:200], reason)
    return text


def _identity(request: Members, queue: Queue) -> tuple[str, str, str]:
    """Return a message's group, its deduplication id and what that is unique in."""
    group, given = _token(request, "MessageGroupId"), _token(request, "MessageDeduplicationId")
    if not names.is_fifo(queue.key.name):
        return group, given, f"sqs {group}"
    if not group:
        raise errors.missing("MessageGroupId")
    if not given and not queue.attributes.by_content:
        raise errors.no_deduplication()
    unique = given or hashlib.sha256(_body(request).encode()).hexdigest()
    return group, unique, f"sqs {group}" if queue.attributes.by_group else "sqs"


def _delay_seconds(request: Members, queue: Queue) -> int:
    """How long a message waits; in a FIFO queue all wait as long."""
    delay = request.integer("DelaySeconds", 0, 900)
    if delay and names.is_fifo(queue.key.name):
        reason = "The request include parameter that is not valid for this queue type"
        raise errors.invalid("DelaySeconds", delay, reason)
    return (queue.attributes.number("DelaySeconds") or 0) if delay is None else delay


def _sent(sendable: _Sendable, queue: Queue, stored: Stored) -> dict[str, Any]:
    letter = sendable.letter
    answer = {"MessageId": letter.message_id, "MD5OfMessageBody": md5_of_text(letter.body)}
    if letter.attributes:
        answer["MD5OfMessageAttributes"] = md5_of_attributes(letter.attributes)
    if sendable.system:
        answer["MD5OfMessageSystemAttributes"] = md5_of_attributes(sendable.system)
    if names.is_fifo(queue.key.name):
        answer["SequenceNumber"] = sequence_number(stored.seq)
    return answer
