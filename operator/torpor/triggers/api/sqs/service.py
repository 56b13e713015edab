"""The calls of SQS that exist here, by their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from torpor.aws.errors import Refused
from torpor.aws.http import Dialect
from torpor.triggers.api.parts import ApiParts, Caller
from torpor.triggers.api.sqs import errors
from torpor.triggers.api.sqs.members import Members
from torpor.triggers.api.sqs.queue_attributes import QueueAttributes
from torpor.triggers.api.sqs.queues import Queue, Queues, key_of
from torpor.triggers.api.sqs.receiving import Receiving
from torpor.triggers.api.sqs.sending import Sending
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import ObjectTooLarge
from torpor.triggers.broker.publishing import MessageTooLarge

TARGET = "AmazonSQS."
DIALECT = Dialect("application/x-amz-json-1.0", "com.amazonaws.sqs#")
_MOST_LISTED = 1000

Call = Callable[[Members, str], Awaitable[dict[str, Any]]]


class Sqs:
    """Does the calls; `queues` is shared with who listens to the definitions."""

    def __init__(self, parts: ApiParts, queues: Queues) -> None:
        self._parts = parts
        self._queues = queues
        self._receiving = Receiving(parts, queues)
        sending = Sending(parts, queues)
        self._calls: Mapping[str, Call] = {
            "CreateQueue": self._create,
            "DeleteQueue": self._delete,
            "GetQueueUrl": self._url,
            "ListQueues": self._list,
            "GetQueueAttributes": self._attributes,
            "SetQueueAttributes": self._set_attributes,
            "PurgeQueue": self._purge,
            "SendMessage": sending.send_message,
            "SendMessageBatch": sending.send_message_batch,
            "ReceiveMessage": self._receiving.receive_message,
            "DeleteMessage": self._receiving.delete_message,
            "DeleteMessageBatch": self._receiving.delete_message_batch,
            "ChangeMessageVisibility": self._receiving.change_message_visibility,
            "ChangeMessageVisibilityBatch": self._receiving.change_message_visibility_batch,
        }

    async def call(self, action: str, request: Any, caller: Caller) -> dict[str, Any]:
        """Do one call; Refused with AWS's code when it cannot be done."""
        found = self._calls.get(action)
        if found is None:
            raise Refused("UnknownOperationException", f"Unknown operation: '{TARGET}{action}'")
        try:
            return await found(Members.of(request), caller.base_url)
        except (ObjectTooLarge, MessageTooLarge) as error:
            raise errors.bad_contents(str(error)) from error

    async def close(self) -> None:
        """Stop listening for messages."""
        await self._receiving.close()

    async def _create(self, request: Members, base_url: str) -> dict[str, Any]:
        key = key_of(request.required_text("QueueName"))
        if request.mapping("tags"):
            raise errors.unsupported("Queues have no tags here; leave them out.")
        given = request.mapping("Attributes")
        wanted = QueueAttributes().changed(given, self._parts.wall()).checked_for(key.name)
        try:
            queue = await self._queues.fresh(key)
        except Refused:
            await self._queues.make(key, wanted)
        else:
            _check_same(queue.attributes, wanted)
        return {"QueueUrl": self._queues.url(key, base_url)}

    async def _delete(self, request: Members, _: str) -> dict[str, Any]:
        queue = await self._queues.at(request.required_text("QueueUrl"))
        reader = self._queues.reader(queue.key)
        if reader is not None:
            text = f"The queue is read by the Trigger {reader}: delete that first."
            raise errors.unsupported(text)
        writer = self._queues.writer(queue.key)
        if writer is not None:
            text = f"The queue is the target of the Trigger {writer}: delete that first."
            raise errors.unsupported(text)
        await self._queues.forget(queue)
        return {}

    async def _url(self, request: Members, base_url: str) -> dict[str, Any]:
        queue = await self._queues.named(request.required_text("QueueName"))
        return {"QueueUrl": self._queues.url(queue.key, base_url)}

    async def _list(self, request: Members, base_url: str) -> dict[str, Any]:
        found = await self._queues.all(request.text("QueueNamePrefix") or "")
        most = request.integer("MaxResults", 1, _MOST_LISTED)
        after = request.text("NextToken") or ""
        rest = [name for name in found if name > after]
        page = rest[: most or _MOST_LISTED]
        answer: dict[str, Any] = {
            "QueueUrls": [self._queues.url(key_of(name), base_url) for name in page]
        }
        if most and len(rest) > most:
            answer["NextToken"] = page[-1]
        return answer

    async def _attributes(self, request: Members, _: str) -> dict[str, Any]:
        known = await self._queues.at(request.required_text("QueueUrl"))
        wanted = request.texts("AttributeNames")
        queue = await self._queues.fresh(known.key)
        found = {**queue.attributes.shown(), **await self._facts(queue)}
        if "All" in wanted:
            return {"Attributes": found}
        for name in wanted:
            if name not in found and name not in ("RedrivePolicy", "MessageRetentionPeriod"):
                raise errors.unknown_attribute(name)
        chosen = {name: found[name] for name in wanted if name in found}
        return {"Attributes": chosen} if chosen else {}

    async def _facts(self, queue: Queue) -> dict[str, str]:
        """What is known of the queue's messages.

        The broker does not know which are delayed: they count as visible until somebody asked for
        them, then as not visible.
        """
        key = queue.key
        taken = min(await self._unacknowledged(queue), queue.messages)
        modified = queue.attributes.modified_seconds or queue.created_seconds
        return {
            "QueueArn": self._queues.arn(key),
            "ApproximateNumberOfMessages": str(queue.messages - taken),
            "ApproximateNumberOfMessagesNotVisible": str(taken),
            "ApproximateNumberOfMessagesDelayed": "0",
            "CreatedTimestamp": str(int(queue.created_seconds)),
            "LastModifiedTimestamp": str(int(modified)),
        }

    async def _unacknowledged(self, queue: Queue) -> int:
        reader, partitions = self._queues.reader(queue.key), range(names.PARTITIONS)
        consumers = names.receivers_consumers(queue.stream)
        if reader is not None:
            pair = reader.namespace, reader.name
            ordered = self._parts.partitions.ordered(queue.key)
            numbers = partitions if ordered else (None,)
            consumers = tuple(names.consumer_name(*pair, number) for number in numbers)
        states = [await self._parts.streams.consumer_state(queue.stream, c) for c in consumers]
        return sum(state.unacknowledged for state in states if state is not None)

    async def _set_attributes(self, request: Members, _: str) -> dict[str, Any]:
        known = await self._queues.at(request.required_text("QueueUrl"))
        queue = await self._queues.fresh(known.key)
        given = request.mapping("Attributes")
        changed = queue.attributes.changed(given, self._parts.wall()).checked_for(queue.key.name)
        await self._queues.set(queue.key, changed)
        return {}

    async def _purge(self, request: Members, _: str) -> dict[str, Any]:
        queue = await self._queues.at(request.required_text("QueueUrl"))
        subject = names.queue_filter(queue.key.namespace, queue.key.name)
        await self._parts.streams.purge(queue.stream, subject)
        return {}


def _check_same(there: QueueAttributes, wanted: QueueAttributes) -> None:
    """What is asked for must be so already; what is not asked for may be anything."""
    shown = there.shown()
    other = [name for name, value in wanted.given.items() if shown.get(name) != value]
    if other:
        raise errors.queue_exists(other)
