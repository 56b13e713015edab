"""Notifications of S3-compatible stores: JSON as AWS has it ("Event message structure"). Pure.

Stores agree on the shape and differ in details: AWS and MinIO send keys as in a form (`a+b`,
`%C3%BC`), versitygw sends them as they are; the `s3:` before an event's name comes and goes, and so
do the quotes around an ETag.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

import orjson

from torpor.errors import InvalidResource, TorporError
from torpor.resources.fields import Fields
from torpor.triggers.event.timestamp import is_timestamp
from torpor.triggers.sources.storage_change import ObjectChange, Operation, trace_in

MOST_RECORDS: Final = 1000
_FORM_ENCODED: Final = re.compile(r"(?:[A-Za-z0-9\-._~*/+!'()]|%[0-9A-Fa-f]{2})*")
_VERSITYGW: Final = re.compile(r"(?:webhook|nats|kafka|rabbitmq)-global")
"""The `configurationId` of versitygw, whose keys cannot be told from encoded ones otherwise."""
_OPERATIONS: Final = (
    ("ObjectCreated:", Operation.CREATED),
    ("ObjectRemoved:", Operation.REMOVED),
    ("LifecycleExpiration:", Operation.REMOVED),
)


class MalformedNotification(TorporError):
    """What was posted is no notification of a store; the message says what is wrong."""

    code = "malformed-notification"


def parse_notification(body: bytes) -> list[ObjectChange]:
    """Return the changes that a notification tells of, in its order.

    What is no change of an object (tests of the connection, tags, access) is left out. Raises
    MalformedNotification.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedNotification(f"the body is no JSON: {error}") from error
    try:
        records = Fields(told, "notification").children("Records")
        if len(records) > MOST_RECORDS:
            raise MalformedNotification(f"more than {MOST_RECORDS} records in one notification")
        changes = [_change(record) for record in records]
    except InvalidResource as error:
        raise MalformedNotification(str(error)) from error
    return [change for change in changes if change is not None]


def _change(record: Fields) -> ObjectChange | None:
    name = record.required_text("eventName").removeprefix("s3:")
    operation = next((found for prefix, found in _OPERATIONS if name.startswith(prefix)), None)
    if operation is None:
        return None
    storage = record.child("s3")
    obj = storage.child("object")
    return ObjectChange(
        bucket=storage.child("bucket").required_text("name"),
        key=_key(storage),
        operation=operation,
        time=_time(record),
        told=_told(record, obj, name),
        size_bytes=obj.optional_integer("size", low=0),
        etag=obj.text("eTag", "").strip('"') or None,
        version_id=obj.text("versionId", "") or None,
        sequencer=obj.text("sequencer", "") or None,
        event_name=name,
        traceparent=trace_in(obj.mapping("userMetadata")),
    )


def _key(storage: Fields) -> str:
    key = storage.child("object").required_text("key")
    raw = _VERSITYGW.fullmatch(storage.text("configurationId", ""))
    if raw or _FORM_ENCODED.fullmatch(key) is None:
        return key
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        return key


def _time(record: Fields) -> str:
    time = record.required_text("eventTime")
    if not is_timestamp(time):
        raise MalformedNotification(f"eventTime {time[:64]!r} is no instant of RFC 3339")
    return time


def _told(record: Fields, obj: Fields, name: str) -> str:
    """All that tells one record from another: a store's sequencer alone may begin anew."""
    request = record.child("responseElements").text("x-amz-request-id", "")
    return "\n".join((name, record.text("eventTime", ""), obj.text("sequencer", ""), request))
