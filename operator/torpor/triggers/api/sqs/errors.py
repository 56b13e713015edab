"""What SQS refuses: AWS's codes, and those that its clients knew before the JSON protocol."""

from __future__ import annotations

from torpor.aws.errors import Refused

_LEGACY = "AWS.SimpleQueueService."


def queue_missing() -> Refused:
    """There is no such queue."""
    return Refused(
        "QueueDoesNotExist",
        "The specified queue does not exist.",
        query_code=f"{_LEGACY}NonExistentQueue",
    )


def queue_exists(names: list[str]) -> Refused:
    """The name is taken by a queue with other attributes."""
    text = (
        "A queue already exists with the same name and a different value for attribute(s) "
        f"{', '.join(names)}"
    )
    return Refused("QueueNameExists", text, query_code="QueueAlreadyExists")


def not_as_named(queue: str) -> Refused:
    """A FIFO queue is one by its name and by its attribute."""
    text = (
        f"The name of a FIFO queue ends with .fifo, and its attribute FifoQueue is true; {queue} "
        "has one of them alone"
    )
    return Refused("InvalidParameterValue", text)


def missing(name: str) -> Refused:
    """A member that every request of this kind has is not there."""
    text = f"The request must contain the parameter {name}."
    return Refused("MissingParameter", text)


def invalid(name: str, value: object, reason: str) -> Refused:
    """A member's value cannot be."""
    text = f"Value {value} for parameter {name} is invalid. Reason: {reason}"
    return Refused("InvalidParameterValue", text)


def no_deduplication() -> Refused:
    """A message for a FIFO queue that nothing tells apart from its copies."""
    text = (
        "The queue should either have ContentBasedDeduplication enabled or "
        "MessageDeduplicationId provided explicitly"
    )
    return Refused("InvalidParameterValue", text)


def bad_message_attribute(reason: str) -> Refused:
    """A message attribute that cannot be."""
    return Refused("InvalidParameterValue", reason)


def unreadable(name: str) -> Refused:
    """A member is of the wrong JSON type."""
    return Refused("SerializationException", f"The value of the member '{name}' has the wrong type")


def bad_contents(reason: str) -> Refused:
    """A message that cannot be sent as it is."""
    return Refused("InvalidMessageContents", reason)


def unknown_attribute(name: str) -> Refused:
    """An attribute that queues do not have."""
    return Refused("InvalidAttributeName", f"Unknown Attribute {name}.")


def bad_attribute(name: str, reason: str) -> Refused:
    """An attribute's value cannot be."""
    text = f"Invalid value for the parameter {name}. Reason: {reason}"
    return Refused("InvalidAttributeValue", text)


def unsupported(reason: str) -> Refused:
    """Not done here, or not now."""
    return Refused("UnsupportedOperation", reason, query_code=f"{_LEGACY}UnsupportedOperation")


def bad_receipt(handle: str) -> Refused:
    """No receipt handle of this queue."""
    text = f'The input receipt handle "{handle[:200]}" is not a valid receipt handle.'
    return Refused("ReceiptHandleIsInvalid", text)


def empty_batch() -> Refused:
    """A batch of nothing."""
    text = "There should be at least one entry in the request."
    return Refused("EmptyBatchRequest", text, query_code=f"{_LEGACY}EmptyBatchRequest")


def long_batch(count: int) -> Refused:
    """A batch of too many."""
    text = f"Maximum number of entries per request are 10. You have sent {count}."
    code = "TooManyEntriesInBatchRequest"
    return Refused(code, text, query_code=f"{_LEGACY}{code}")


def large_batch(size_bytes: int, most_bytes: int) -> Refused:
    """A batch of too many bytes."""
    text = (
        f"Batch requests cannot be longer than {most_bytes} bytes. "
        f"You have sent {size_bytes} bytes."
    )
    return Refused("BatchRequestTooLong", text, query_code=f"{_LEGACY}BatchRequestTooLong")


def repeated_id(entry_id: str) -> Refused:
    """Two entries of one id."""
    text = f"Id {entry_id} repeated."
    code = "BatchEntryIdsNotDistinct"
    return Refused(code, text, query_code=f"{_LEGACY}{code}")


def bad_entry_id() -> Refused:
    """An entry's id is of other characters."""
    text = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        "It can be at most 80 letters long."
    )
    return Refused("InvalidBatchEntryId", text, query_code=f"{_LEGACY}InvalidBatchEntryId")


def body_missing() -> Refused:
    """What is left of the messages received is without their bodies."""
    text = (
        "The body of a message is no longer in the object store, which keeps large data for 14 "
        "days. Purge the queue, or give it a RedrivePolicy, to be rid of the message."
    )
    return Refused("InternalError", text, status=500)
