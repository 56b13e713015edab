"""The dialects of S3 notifications."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.source_rig import data_of
from torpor.resources.fields import Fields
from torpor.triggers.sources.storage_change import Operation, read_rule
from torpor.triggers.sources.storage_notification import (
    MOST_RECORDS,
    MalformedNotification,
    parse_notification,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(name: str = "ObjectCreated:Put", key: str = "a", **more: Any) -> dict[str, Any]:
    obj = {"key": key, "size": 7, "eTag": "abc", "sequencer": "0055AED6DCD90281E5"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-03-01T12:00:00.000Z",
        "eventName": name,
        "responseElements": {"x-amz-request-id": more.pop("request", "C3D13FE58DE4C810")},
        "s3": {
            "configurationId": more.pop("configuration", "orders"),
            "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"},
            "object": {**obj, **more},
        },
    }


def parsed(*records: Any) -> Any:
    return parse_notification(json.dumps({"Records": list(records)}).encode())


def test_a_record_becomes_an_event() -> None:
    (change,) = parsed(record(versionId="v1", userMetadata={"X-Amz-Meta-Traceparent": TRACE}))
    event = change.event()
    assert event.type == "dev.torpor.storage.object.created"
    assert (event.subject, event.time) == ("a", "2026-03-01T12:00:00.000Z")
    assert event.traceparent == TRACE
    assert event.data == {
        "bucket": "photos",
        "key": "a",
        "size": 7,
        "etag": "abc",
        "versionId": "v1",
        "sequencer": "0055AED6DCD90281E5",
        "eventName": "ObjectCreated:Put",
    }


def test_a_key_that_no_subject_can_be_is_encoded_there() -> None:
    (change,) = parsed(record(key="a%0Ab+c"))
    event = change.event()
    assert (event.subject, data_of(event)["key"]) == ("a%0Ab%20c", "a\nb c")


@pytest.mark.parametrize(
    ("sent", "configuration", "key"),
    [
        ("a+b%2Fgr%C3%BC%C3%9Fe%2B1", "orders", "a b/grüße+1"),  # AWS, MinIO
        ("a b/grüße+1", "orders", "a b/grüße+1"),  # cannot be encoded: there is a space
        ("a+b%20", "webhook-global", "a+b%20"),  # versitygw
        ("100%", "orders", "100%"),
        ("%ff", "orders", "%ff"),
    ],
)
def test_keys_come_encoded_or_not(sent: str, configuration: str, key: str) -> None:
    (change,) = parsed(record(key=sent, configuration=configuration))
    assert change.key == key


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("ObjectCreated:CompleteMultipartUpload", Operation.CREATED),
        ("s3:ObjectCreated:Copy", Operation.CREATED),
        ("ObjectRemoved:DeleteMarkerCreated", Operation.REMOVED),
        ("s3:ObjectRemoved:DeleteObjects", Operation.REMOVED),
        ("LifecycleExpiration:Delete", Operation.REMOVED),
        ("ObjectTagging:Put", None),
        ("ObjectRestore:Post", None),
    ],
)
def test_names_of_events(name: str, operation: Operation | None) -> None:
    assert [change.operation for change in parsed(record(name))] == (
        [operation] if operation else []
    )


def test_one_change_told_twice_has_one_id_and_another_has_another() -> None:
    first, again, later, restarted = parsed(
        record(), record(), record(sequencer="0055AED6DCD90281E6"), record(request="other")
    )
    assert first.event().id == again.event().id
    assert len({change.event().id for change in (first, later, restarted)}) == 3


def test_tests_of_the_connection_tell_nothing() -> None:
    told = b'{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}'
    assert parse_notification(told) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"[]", "must be an object"),
        (b'{"Records": {}}', "must be a list"),
        (b'{"Records": [1]}', r"Records\[0\]"),
        (b'{"Records": [{}]}', "eventName"),
        (json.dumps({"Records": [{"eventName": "ObjectCreated:Put"}]}).encode(), "name"),
        (json.dumps({"Records": [record()] * (MOST_RECORDS + 1)}).encode(), "more than"),
        (json.dumps({"Records": [record(size=-1)]}).encode(), "size"),
        (json.dumps({"Records": [{**record(), "eventTime": "now"}]}).encode(), "eventTime"),
    ],
)
def test_what_is_no_notification_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(MalformedNotification, match=says):
        parse_notification(body)


def test_a_rule_chooses_by_bucket_prefix_suffix_and_event() -> None:
    rule = read_rule(Fields({"bucket": "photos", "prefix": "a/", "suffix": ".png"}, "spec"))
    keys = ["a/1.png", "a/1.txt", "b/1.png"]
    assert [rule.matches(*parsed(record(key=key))) for key in keys] == [True, False, False]
    assert not rule.matches(*parsed(record("ObjectRemoved:Delete", "a/1.png")))
    other = read_rule(Fields({"bucket": "other", "events": ["created", "removed"]}, "spec"))
    assert not other.matches(*parsed(record()))
