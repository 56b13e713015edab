"""What a broker's message is as an event, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.base import Undecodable
from torpor.triggers.event import NO_DATA, Event, to_structured
from torpor.triggers.sources.message import (
    Facts,
    Message,
    attribute_text,
    content_of,
    prefixed,
    uri_segment,
)

FACTS = Facts("1", "dev.torpor.test", "test://host/topic", "key", extensions={"partitionkey": "k"})
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = b'{"specversion":"1.0","id":"e","source":"/s","type":"t","data":{"n":1}}'
REQUIRED = {"specversion": b"1.0", "id": b"e", "source": b"/s", "type": b"t"}


def event_of(payload: bytes, content_type: str | None = None, **more: Any) -> Event:
    found = content_of(Message(payload, content_type, **more), FACTS)
    assert isinstance(found, Event), found
    return found


@pytest.mark.parametrize(
    ("payload", "content_type", "data", "told"),
    [
        (b'{"n": 1}', None, {"n": 1}, "application/json"),
        (b"5", None, 5, "application/json"),
        (b"plain", None, "plain", "text/plain"),
        (b"\xff", None, b"\xff", "application/octet-stream"),
        (b"", None, NO_DATA, None),
        (b"", "application/json", NO_DATA, "application/json"),
        (b"[1]", "application/vnd.shop+json", [1], "application/vnd.shop+json"),
        (b"5", "text/csv", "5", "text/csv"),
        (b"\xe4", "text/plain; charset=latin-1", "ä", "text/plain; charset=latin-1"),
        (b"5", "image/png", b"5", "image/png"),
        (b"5", "no media type", 5, "application/json"),
    ],
)
def test_data_is_what_the_content_type_says_else_what_it_is(
    payload: bytes, content_type: str | None, data: Any, told: str | None
) -> None:
    event = event_of(payload, content_type)
    assert (event.data, event.datacontenttype) == (data, told)
    assert (event.id, event.type, event.source, event.subject) == (
        "1",
        "dev.torpor.test",
        "test://host/topic",
        "key",
    )


@pytest.mark.parametrize("content_type", [None, "application/cloudevents+json; charset=utf-8"])
def test_an_event_in_the_payload_is_taken_as_it_is(content_type: str | None) -> None:
    event = event_of(EVENT, content_type)
    assert (event.id, event.source, event.type, event.data) == ("e", "/s", "t", {"n": 1})
    assert event.attributes["partitionkey"] == "k"


def test_an_event_in_the_headers_is_taken_as_it_is() -> None:
    given_attributes = {
        **REQUIRED,
        "time": datetime(2026, 1, 2, tzinfo=UTC),
        "partitionkey": b"own",
    }
    event = event_of(b"[1]", "application/json", attributes=given_attributes)
    assert (event.id, event.data, event.time) == ("e", [1], "2026-01-02T00:00:00Z")
    assert event.attributes["partitionkey"] == "own"


def test_the_trace_is_carried_on_unless_the_event_has_one_or_it_is_none() -> None:
    headers = {"traceparent": TRACEPARENT.encode(), "tracestate": "a=b"}
    event = event_of(b"1", headers=headers)
    assert (event.traceparent, event.attributes["tracestate"]) == (TRACEPARENT, "a=b")
    own = {**REQUIRED, "traceparent": TRACEPARENT.replace("-01", "-00")}
    assert event_of(b"1", attributes=own, headers=headers).traceparent == own["traceparent"]
    assert event_of(b"1", headers={"traceparent": b"nonsense"}).traceparent is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(b"{", "application/json"), "not JSON"),
        (Message(b"{", "application/cloudevents+json"), "not JSON"),
        (Message(b"[]", "application/cloudevents-batch+json"), "is not known"),
        (Message(b"<e/>", "application/cloudevents+xml"), "is not known"),
        (Message(b"1", attributes={"id": b"only"}), "specversion is missing"),
        (Message(b"1", attributes={**REQUIRED, "id": b"\xff"}), "not UTF-8"),
        (Message(b"\xff", "text/plain; charset=utf-8"), "charset"),
        (Message(b"1", "text/plain; charset=nonsense"), "charset"),
    ],
)
def test_what_is_no_event_is_told_with_its_bytes(message: Message, reason: str) -> None:
    found = content_of(message, FACTS)
    assert isinstance(found, Undecodable)
    assert found.raw == message.payload
    assert reason in found.reason
    assert found.attributes["id"] == "1"


_VALUES = st.one_of(st.binary(max_size=40), st.text(max_size=40), st.integers(), st.none())


@given(
    payload=st.binary(max_size=200) | st.sampled_from([EVENT, b'{"a": 1}', b"[" * 3000]),
    content_type=st.none() | st.text(max_size=40) | st.sampled_from(["application/json", "text/x"]),
    attributes=st.dictionaries(st.sampled_from([*REQUIRED, "time", "Bad", "data", "x"]), _VALUES),
    headers=st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), _VALUES),
)
def test_whatever_comes_is_an_event_that_can_be_stored_or_undecodable(
    payload: bytes, content_type: str | None, attributes: dict[str, Any], headers: dict[str, Any]
) -> None:
    found = content_of(Message(payload, content_type, attributes, headers), FACTS)
    assert isinstance(found, Undecodable) or to_structured(found)


def test_texts_for_attributes_and_uris() -> None:
    assert [attribute_text(value) for value in (b"K\xc3\xb6ln", b"\xff", "a\nb", "")] == [
        "Köln",
        "ff",
        "610a62",
        "",
    ]
    assert uri_segment("a/b c%") == "a%2Fb%20c%25"
    assert prefixed({"ce_id": 1, "other": 2}, "ce_") == {"id": 1}
