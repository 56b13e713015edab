"""What delivers events and what hands them to a function write and read the same events."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.event import Event, from_http, to_http_binary
from torpor.triggers.event.model import NO_DATA
from torpor_runtime.answer import Answer
from torpor_runtime.cloudevents import CloudEvent, answer_of, given_event
from torpor_runtime.event import Context, Headers
from torpor_runtime.event import Event as Request

_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_EXTENSIONS = st.dictionaries(
    st.from_regex(r"ext[a-z0-9]{0,8}", fullmatch=True), _TEXTS, max_size=4
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event whose attributes are texts."""
    attributes = {
        "id": draw(_TEXTS),
        "source": "/orders",
        "type": draw(_TEXTS),
        "specversion": "1.0",
        "subject": draw(_TEXTS),
        **draw(_EXTENSIONS),
    }
    if draw(st.booleans()):
        return Event({**attributes, "datacontenttype": "application/json"}, draw(_JSON))
    return Event({**attributes, "datacontenttype": "image/png"}, draw(st.binary()) or NO_DATA)


def _handed_over(event: Event) -> Any:
    headers, body = to_http_binary(event)
    lower = Headers({name.lower(): value for name, value in headers.items()})
    given_to_handler, _, _ = given_event(Request("POST", "/", lower, body), _CONTEXT, lambda: False)
    return given_to_handler


_CONTEXT = Context("shop/f", "r-1", "t", 0.0)


@given(events())
def test_a_handler_is_given_the_event_that_is_delivered(event: Event) -> None:
    found = _handed_over(event)
    assert found.attributes == dict(event.attributes)
    assert found.data == (None if event.data is NO_DATA else event.data)


@given(events())
def test_an_event_that_a_handler_returns_is_the_event_that_comes_back(event: Event) -> None:
    data = None if event.data is NO_DATA else event.data
    answer: Answer = answer_of(CloudEvent(dict(event.attributes), data))
    assert isinstance(answer.body, bytes)
    [found] = from_http(dict(answer.headers), answer.body)
    expected = dict(event.attributes)
    if data is None:
        del expected["datacontenttype"]
    assert dict(found.attributes) == expected
    assert found.data == (NO_DATA if data is None else data)
