"""Events in HTTP messages, in the three modes."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from torpor.triggers.event import (
    BATCH_CONTENT_TYPE,
    NO_DATA,
    STRUCTURED_CONTENT_TYPE,
    Event,
    MalformedEvent,
    from_http,
    make_event,
    to_batch,
    to_http_binary,
    to_structured,
)

MINIMAL = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/here", "ce-type": "made"}
EVENT = make_event(id="1", source="/here", type="made", subject="é", data={"a": 1})


def only(headers: dict[str, str], body: bytes = b"") -> Event:
    (event,) = from_http(headers, body)
    return event


def test_a_binary_message_is_an_event() -> None:
    headers = {
        "Host": "here",
        "CE-SpecVersion": "1.0",
        "Ce-Id": "1",
        "ce-source": "/here",
        "ce-type": "made",
        "ce-time": "2018-04-05T03:56:24Z",
        "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Content-Type": "application/json; charset=utf-8",
        "traceparent": "of this hop",
    }
    event = only(headers, b'{"a": 1}')
    assert event.data == {"a": 1}
    assert event.datacontenttype == "application/json; charset=utf-8"
    assert event.traceparent == headers["ce-traceparent"]
    assert event.time == "2018-04-05T03:56:24Z"


def test_data_is_passed_on_byte_for_byte() -> None:
    body = b'{ "a" : 1.0 , "a":2 }'
    event = only({**MINIMAL, "content-type": "application/json"}, body)
    assert to_http_binary(event)[1] == body


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b"", NO_DATA),
        ("application/json", b"null", None),
        ("application/json", b'"text"', "text"),
        ("a/b+json", b"[1]", [1]),
        ("text/json", b"1", 1),
        ("application/json; charset=utf-16-le", '"é"'.encode("utf-16-le"), "é"),
        ("text/plain", b"text", b"text"),
        ("image/png", b"\x00\xff", b"\x00\xff"),
        ("text/plain", b"", NO_DATA),
    ],
)
def test_the_body_is_read_by_its_content_type(content_type: str, body: bytes, data: Any) -> None:
    assert only({**MINIMAL, "content-type": content_type}, body).data == data


def test_without_a_content_type_the_body_is_bytes() -> None:
    assert only(MINIMAL, b"{}").data == b"{}"
    assert only(MINIMAL).data is NO_DATA


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%2541", "A%41"),
        ('"quoted \\"value\\" \\\\"', 'quoted "value" \\'),
        ('"%20"', " "),
        ('a"b c"d', "ab cd"),
        ("  around\t", "around"),
        ("a+b", "a+b"),
    ],
)
def test_a_header_is_decoded(value: str, expected: str) -> None:
    assert only({**MINIMAL, "ce-subject": value}).subject == expected


@pytest.mark.parametrize(
    "value",
    ["%C0%A0", "%ff", "%ED%A0%80", "%4", "%zz", "100%", '"open', "%00", "%0A", "%C2%85", ""],
)
def test_a_header_that_cannot_be_decoded_is_refused(value: str) -> None:
    with pytest.raises(MalformedEvent, match="subject"):
        only({**MINIMAL, "ce-subject": value})


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("ce-datacontenttype", "text/plain", "as Content-Type"),
        ("ce-data", "x", "name"),
        ("ce-data_base64", "eA==", "name"),
        ("ce-my-ext", "x", "name"),
        ("ce-", "x", "name"),
        ("content-type", "xyz", "media type"),
        ("content-type", "", "datacontenttype"),
        ("ce-specversion", "0.3", "specversion"),
        ("ce-time", "2018-04-05T18:31Z", "RFC 3339"),
        ("content-type", "application/cloudevents+avro", "not known"),
        ("content-type", "application/cloudevents", "not known"),
    ],
)
def test_a_bad_header_is_refused(header: str, value: str, reason: str) -> None:
    with pytest.raises(MalformedEvent, match=reason):
        only({**MINIMAL, header: value})


@pytest.mark.parametrize("missing", list(MINIMAL))
def test_a_message_without_what_every_event_has_is_refused(missing: str) -> None:
    with pytest.raises(MalformedEvent, match=f"{missing[3:]} is missing"):
        only({name: value for name, value in MINIMAL.items() if name != missing})


def test_an_attribute_is_there_once() -> None:
    headers = CIMultiDict([*MINIMAL.items(), ("Ce-Id", "2")])
    with pytest.raises(MalformedEvent, match="ce-id is there twice"):
        from_http(headers, b"")


@pytest.mark.parametrize("body", [b"{", b"text", b"\xff", b"NaN"])
def test_data_that_is_not_json_as_said_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match="data is not JSON"):
        only({**MINIMAL, "content-type": "application/json"}, body)


@pytest.mark.parametrize("charset", ["nosuch", "base64", "ascii"])
def test_a_charset_that_does_not_fit_is_refused(charset: str) -> None:
    with pytest.raises(MalformedEvent, match="charset"):
        only({**MINIMAL, "content-type": f"a/json; charset={charset}"}, '"é"'.encode())


@pytest.mark.parametrize(
    "content_type",
    [STRUCTURED_CONTENT_TYPE, "Application/CloudEvents+JSON; charset=UTF-8", ' a; charset="utf-8"'],
)
def test_a_structured_message_is_an_event(content_type: str) -> None:
    given = content_type.replace(" a", STRUCTURED_CONTENT_TYPE)
    assert only({"Content-Type": given, "ce-bad-name": "ignored"}, to_structured(EVENT)) == EVENT


def test_a_batched_message_is_events() -> None:
    headers = {"content-type": f"{BATCH_CONTENT_TYPE}; charset=utf-8"}
    assert from_http(headers, to_batch([EVENT, EVENT])) == (EVENT, EVENT)
    assert from_http(headers, b"[]") == ()


def test_a_binary_message_is_written() -> None:
    event = make_event(
        id="a b",
        source="/here",
        type="made",
        subject='Euro € 😀 "%"',
        extensions={"number": -5, "yes": True, "plain": "a+b~(c)"},
        data=None,
    )
    headers, body = to_http_binary(event)
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "a%20b",
        "ce-source": "/here",
        "ce-type": "made",
        "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22%25%22",
        "ce-number": "-5",
        "ce-yes": "true",
        "ce-plain": "a+b~(c)",
        "content-type": "application/json",
    }
    assert body == b"null"


def test_text_is_written_in_its_charset() -> None:
    event = make_event(
        id="1", source="/h", type="t", datacontenttype="text/xml; charset=latin-1", data="é"
    )
    assert to_http_binary(event)[1] == b"\xe9"
    with pytest.raises(MalformedEvent, match="cannot be written in ascii"):
        to_http_binary(event.with_data("é", "text/xml; charset=ascii"))


@pytest.mark.parametrize("data", [NO_DATA, b"x"])
def test_no_content_type_is_made_up_for_bytes(data: Any) -> None:
    headers, _ = to_http_binary(make_event(id="1", source="/h", type="t", data=data))
    assert "content-type" not in headers
