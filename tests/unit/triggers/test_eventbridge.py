"""Entries of PutEvents as CloudEvents, and how patterns see them."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.resources.names import FunctionKey
from torpor.triggers.api.eventbridge import Bad, Put, read_entry, size_bytes, traceparent
from torpor.triggers.event import make_event
from torpor.triggers.filter.view import seen

ENTRY = {"Source": "my app", "DetailType": "Paid", "Detail": '{"n":1}'}


def read(**more: Any) -> Put | Bad:
    return read_entry({**ENTRY, **more}, "id-1", 0.0, "000000000000", "us-east-1")


def put(**more: Any) -> Put:
    found = read(**more)
    assert isinstance(found, Put)
    return found


def test_an_entry_is_seen_by_patterns_in_both_forms() -> None:
    found = seen(put(Resources=["arn:a"]).event)
    assert found["source"] == "my app"
    assert found["detail-type"] == found["type"] == "Paid"
    assert found["detail"] == found["data"] == {"n": 1}
    assert (found["account"], found["region"]) == ("000000000000", "us-east-1")
    assert found["resources"] == ["arn:a"]
    assert found["time"] == "1970-01-01T00:00:00.000Z"


def test_other_events_have_no_such_members() -> None:
    event = make_event(id="1", source="/a%20b", type="t", data=1)
    assert {"detail", "detail-type", "resources"} & seen(event).keys() == set()
    assert seen(event)["source"] == "/a%20b"


def test_resources_that_anybody_may_have_written_break_nothing() -> None:
    event = make_event(
        id="1", source="/", type="t", extensions={"awsaccount": "1", "awsresources": "{"}
    )
    assert seen(event)["resources"] == []


@pytest.mark.parametrize(
    ("name", "bus"),
    [
        ("orders", FunctionKey("default", "orders")),
        ("shop.orders", FunctionKey("shop", "orders")),
        ("shop/orders", FunctionKey("shop", "orders")),
        ("arn:aws:events:eu-west-1:1:event-bus/shop.orders", FunctionKey("shop", "orders")),
    ],
)
def test_a_bus_is_named_by_name_or_arn(name: str, bus: FunctionKey) -> None:
    assert put(EventBusName=name).bus == bus


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Source": ""}, "InvalidArgument"),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException"),
        ({"EventBusName": "a.b.c"}, "InvalidArgument"),
        ({"EventBusName": "arn:aws:sqs:::q"}, "InvalidArgument"),
        ({"Time": 1e20}, "InvalidArgument"),
        ({"DetailType": "\x00"}, "InvalidArgument"),
    ],
)
def test_what_cannot_be_taken_has_aws_s_code(more: dict[str, Any], code: str) -> None:
    found = read(**more)
    assert isinstance(found, Bad)
    assert found.code == code


def test_an_entry_s_size_is_counted_as_aws_does() -> None:
    assert size_bytes({**ENTRY, "Detail": "ü", "Resources": ["ab"]}) == 6 + 4 + 2 + 2
    assert size_bytes({**ENTRY, "Detail": "", "Time": 1.0}) == 14 + 6 + 4


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00",
        ),
        (
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
        ),
        ("Root=1-5759e988-bd862e3fe1be46a994272793", None),
        ("nonsense", None),
    ],
)
def test_traces_of_x_ray_are_those_of_w3c(header: str, expected: str | None) -> None:
    assert traceparent(header) == expected
