"""An event that goes out comes in again; and whatever comes in is an event or refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.event import (
    NO_DATA,
    STRUCTURED_CONTENT_TYPE,
    Event,
    MalformedEvent,
    from_batch,
    from_http,
    from_json,
    from_structured,
    make_event,
    to_batch,
    to_http_binary,
    to_structured,
)

# "Cc" are control characters, "Cs" halves of a pair, "Cn" has the noncharacters.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), max_size=20)
names = st.text("abcxyz0123456789", min_size=1, max_size=20).filter(
    lambda name: name not in {"id", "source", "specversion", "type", "data", "time", "subject"}
)
extensions = st.dictionaries(
    names, st.one_of(texts, st.booleans(), st.integers(-(2**31), 2**31 - 1)), max_size=4
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9), texts),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
    max_leaves=6,
)
typed_data = st.one_of(
    st.tuples(st.none(), values),
    st.tuples(st.sampled_from(["application/json", "a/b+json; x=y"]), values),
    st.tuples(st.sampled_from([None, "text/plain", "image/png"]), st.binary(min_size=1)),
    st.tuples(st.sampled_from([None, "application/json", "text/plain"]), st.just(NO_DATA)),
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    content_type, data = draw(typed_data)
    return make_event(
        id=draw(texts.filter(bool)),
        source=draw(st.sampled_from(["/here", "urn:x:y", "https://a/b?c#d"])),
        type=draw(texts.filter(bool)),
        subject=draw(st.none() | texts.filter(bool)),
        time=draw(st.none() | st.datetimes().map(lambda one: f"{one.isoformat()}Z")),
        datacontenttype=content_type,
        data=data,
        extensions=draw(extensions),
    )


def as_text(event: Event) -> dict[str, str]:
    """The attributes in their canonical strings, which is what a header carries."""
    return {
        name: value if isinstance(value, str) else str(value).lower()
        for name, value in event.attributes.items()
    }


@given(st.lists(events(), max_size=3))
def test_json_brings_back_what_was_written(some: list[Event]) -> None:
    assert from_batch(to_batch(some)) == tuple(some)
    assert [from_structured(to_structured(event)) for event in some] == some


@given(events())
def test_a_binary_message_brings_back_what_was_written(event: Event) -> None:
    headers, body = to_http_binary(event)
    assert all(
        value.isascii() and " " not in value for name, value in headers.items() if "ce-" in name
    )
    (found,) = from_http(headers, body)
    implied = {"datacontenttype": "application/json"} if found.holds_json and body else {}
    if isinstance(event.data, bytes):
        implied = {}
    assert as_text(found) == {**implied, **as_text(event)}
    assert found.data == event.data or (event.data == b"" and found.data is NO_DATA)


@given(st.dictionaries(st.text(max_size=12).map(lambda name: f"ce-{name}"), st.text()), st.binary())
def test_any_headers_are_an_event_or_refused(headers: dict[str, str], body: bytes) -> None:
    base = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/h", "ce-type": "t"}
    with suppress(MalformedEvent):
        (event,) = from_http({**base, **headers}, body)
        assert event.data is NO_DATA or event.data == body


@given(st.one_of(st.binary(), values.map(orjson.dumps)))
def test_any_body_is_an_event_or_refused(body: bytes) -> None:
    with suppress(MalformedEvent):
        assert len(from_http({"content-type": STRUCTURED_CONTENT_TYPE}, body)) == 1


@given(st.dictionaries(st.sampled_from(["id", "time", "data", "data_base64", "x", "X"]), values))
def test_any_members_are_an_event_or_refused(members: dict[str, Any]) -> None:
    base = {"specversion": "1.0", "id": "1", "source": "/h", "type": "t"}
    with suppress(MalformedEvent):
        event = from_json({**base, **members})
        assert from_structured(to_structured(event)) == event
