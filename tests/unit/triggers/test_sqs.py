"""SQS's messages and attributes: digests as the SDKs compute them, bodies that come back."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.aws.errors import Refused
from torpor.resources.names import FunctionKey
from torpor.triggers.api.sqs.attributes import check_attributes, chosen, md5_of_attributes
from torpor.triggers.api.sqs.envelope import Letter, body_of, envelop
from torpor.triggers.api.sqs.queue_attributes import QueueAttributes, Redrive
from torpor.triggers.delays import delayed, remaining_seconds
from torpor.triggers.event import from_structured

QUEUE = FunctionKey("shop", "jobs")
BODIES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=200) | st.sampled_from(
    ['{"a": 1}', " [1, 2.50]\n", '{"a":1,"a":2}', "[", "1e400", '{"x": 123456789012345678901}']
)


@given(BODIES)
def test_a_body_comes_back_as_it_was(body: str) -> None:
    sent = envelop(Letter("id", body, {}, 0.0), QUEUE)
    assert body_of(sent.data, sent.headers) == body
    assert from_structured(sent.data).id == "id"


def test_only_objects_and_arrays_are_json() -> None:
    kinds = {body: envelop(Letter("i", body, {}, 0.0), QUEUE).event.data for body in ("1", "[1]")}
    assert kinds == {"1": "1", "[1]": [1]}


def test_the_digest_of_attributes_is_that_of_the_documentation() -> None:
    attributes = {
        "test_attribute_name_1": {"DataType": "String", "StringValue": "test_attribute_value_1"},
        "b": {"DataType": "Binary", "BinaryValue": base64.b64encode(b"\x01").decode()},
    }
    raw = (
        b"\x00\x00\x00\x01b\x00\x00\x00\x06Binary\x02\x00\x00\x00\x01\x01"
        b"\x00\x00\x00\x15test_attribute_name_1\x00\x00\x00\x06String"
        b"\x01\x00\x00\x00\x16test_attribute_value_1"
    )
    expected = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    assert md5_of_attributes(check_attributes(attributes)) == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"": {"DataType": "String", "StringValue": "x"}},
        {"aws.x": {"DataType": "String", "StringValue": "x"}},
        {"a..b": {"DataType": "String", "StringValue": "x"}},
        {"a": {"DataType": "Text", "StringValue": "x"}},
        {"a": {"DataType": "String"}},
        {"a": {"DataType": "Number", "StringValue": "x"}},
        {"a": {"DataType": "Binary", "BinaryValue": "%"}},
        {str(n): {"DataType": "String", "StringValue": "x"} for n in range(11)},
    ],
)
def test_attributes_that_sqs_does_not_take_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        check_attributes(attributes)


def test_receivers_choose_attributes_by_name_and_prefix() -> None:
    found = {name: {"DataType": "String", "StringValue": "x"} for name in ("a", "b.c", "b.d")}
    assert set(chosen(found, ["b.*"])) == {"b.c", "b.d"}
    assert set(chosen(found, ["a"])) == {"a"}
    assert chosen(found, ["All"]) == found
    assert chosen(found, []) == {}


def test_a_queue_keeps_what_was_set_and_unsets_what_is_empty() -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:shop.dead"
    policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"3"}}'
    changed = QueueAttributes().changed({"RedrivePolicy": policy, "DelaySeconds": "5"}, 1.0)
    again = QueueAttributes.read(changed.notes(), "jobs")
    assert again.redrive == Redrive(FunctionKey("shop", "dead"), 3)
    assert again.shown()["DelaySeconds"] == "5"
    assert again.changed({"RedrivePolicy": ""}, 2.0).redrive is None
    assert QueueAttributes().number("VisibilityTimeout") == 30
    assert QueueAttributes().number("MessageRetentionPeriod") is None


def test_a_delay_is_over_when_its_time_has_come() -> None:
    headers = delayed(100.0)
    assert remaining_seconds(headers, 97.5) == 2.5
    assert remaining_seconds(headers, 101.0) == 0.0
    assert remaining_seconds({}, 0.0) == 0.0
    assert remaining_seconds({"Torpor-Not-Before": "soon"}, 0.0) == 0.0
