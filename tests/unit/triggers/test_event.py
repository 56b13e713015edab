"""CloudEvents 1.0: which attributes an event may have, and the JSON format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torpor.triggers.event import (
    NO_DATA,
    Event,
    MalformedEvent,
    from_batch,
    from_json,
    from_structured,
    make_event,
    to_batch,
    to_json,
    to_structured,
)

MINIMAL = {"specversion": "1.0", "id": "1", "source": "/here", "type": "made"}


def an_event(**attributes: Any) -> Event:
    return from_json({**MINIMAL, **attributes})


def test_an_event_tells_its_attributes() -> None:
    event = an_event(
        subject="it",
        time="2018-04-05T17:31:00Z",
        datacontenttype="application/json",
        dataschema="https://schemas/x?v=1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        retries=3,
        final=True,
        data={"a": [1, None]},
    )
    assert (event.id, event.source, event.type, event.subject) == ("1", "/here", "made", "it")
    assert (event.time, event.dataschema) == ("2018-04-05T17:31:00Z", "https://schemas/x?v=1")
    assert event.extensions == {"retries": 3, "final": True, "traceparent": event.traceparent}
    assert event.holds_json
    assert event.data == {"a": [1, None]}


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 5, True, ["x"], {"x": 1}])
def test_what_every_event_has_must_be_a_text(name: str, value: Any) -> None:
    with pytest.raises(MalformedEvent, match=name):
        an_event(**{name: value})


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_what_every_event_has_must_be_there(name: str) -> None:
    with pytest.raises(MalformedEvent, match=f"{name} is missing"):
        from_json({key: value for key, value in MINIMAL.items() if key != name})


@pytest.mark.parametrize("version", ["0.3", "1", "1.1", "1.0.1", "2.0"])
def test_an_unknown_version_is_refused(version: str) -> None:
    with pytest.raises(MalformedEvent, match=r"events of version 1\.0"):
        an_event(specversion=version)


@pytest.mark.parametrize(
    "name", ["subject", "time", "dataschema", "datacontenttype", "myext", "data_base64"]
)
def test_null_is_unset(name: str) -> None:
    assert an_event(**{name: None}) == an_event()


@pytest.mark.parametrize("name", ["subject", "time", "dataschema", "datacontenttype"])
@pytest.mark.parametrize("value", ["", 7, False, {}])
def test_an_optional_attribute_is_a_text_or_unset(name: str, value: Any) -> None:
    with pytest.raises(MalformedEvent, match=name):
        an_event(**{name: value})


@pytest.mark.parametrize("name", ["Myext", "my_ext", "my-ext", "my ext", "", "é", "my.ext", "٣"])
def test_a_name_has_lower_case_letters_and_digits(name: str) -> None:
    with pytest.raises(MalformedEvent, match="name"):
        an_event(**{name: "x"})


@pytest.mark.parametrize("value", ["", "text", "é😀", 0, -(2**31), 2**31 - 1, True, False])
def test_an_extension_may_be(value: Any) -> None:
    found = an_event(myext=value).extensions["myext"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [1.5, 1.0, 2**31, -(2**31) - 1, [], {}, "a\nb", "a\x7f", "\x85", "\ufffe", "\U0001ffff"],
)
def test_an_extension_may_not_be(value: Any) -> None:
    with pytest.raises(MalformedEvent, match="myext"):
        an_event(myext=value)


@pytest.mark.parametrize(
    "time",
    [
        "2018-04-05T17:31:00Z",
        "2018-04-05t17:31:00.5z",
        "2018-04-05T17:31:00.123456789+23:59",
        "2020-02-29T00:00:00-00:00",
        "2016-12-31T23:59:60Z",
        "2017-01-01T00:59:60+01:00",
        "0000-02-29T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_a_time_is_one_of_rfc_3339(time: str) -> None:
    assert an_event(time=time).time == time


@pytest.mark.parametrize(
    "time",
    [
        "2018-04-05T18:31Z",
        "2018-04-05T17:31:00+05",
        "2018-04-05T17:31:00+0500",
        "2018-04-05T17:31:00",
        "2018-04-05 17:31:00Z",
        "2018-04-05",
        "20180405T173100Z",
        "2018-W14-4T17:31:00Z",
        "2018-02-30T00:00:00Z",
        "2019-02-29T00:00:00Z",
        "2018-13-01T00:00:00Z",
        "2018-04-05T24:00:00Z",
        "2018-04-05T17:60:00Z",
        "2018-04-05T17:31:60Z",
        "2018-04-05T17:31:00,5Z",
        "2018-04-05T17:31:00.Z",
        "2018-04-05T17:31:00+24:00",
        "2018-04-05T17:31:00+01:60",
        "٢018-04-05T17:31:00Z",
        "9999-12-31T23:59:60-23:59",
        "yesterday",
        " 2018-04-05T17:31:00Z",
    ],
)
def test_another_time_is_refused(time: str) -> None:
    with pytest.raises(MalformedEvent, match="RFC 3339"):
        an_event(time=time)


@pytest.mark.parametrize(
    "source",
    [
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/sensors/tn-1234567/alerts",
        "1-555-123-4567",
        "//host:80/a?b=c#d",
        "?q",
        "#f",
        "a/b:c",
        "https://u:p@[2001:db8::1]:443/%C3%A9?x=/?",
        "file:///etc/hosts",
        "tag:example.com,2026:x",
    ],
)
def test_a_source_is_a_uri_reference(source: str) -> None:
    assert an_event(source=source).source == source


@pytest.mark.parametrize(
    "source",
    [
        "a b",
        "1a:b",
        ":a",
        "/é",
        "%zz",
        "%2",
        "http://[::x]/",
        "http://a:b:c/",
        "a#b#c",
        "<a>",
        "a\\b",
    ],
)
def test_another_source_is_refused(source: str) -> None:
    with pytest.raises(MalformedEvent, match="URI-reference"):
        an_event(source=source)


@pytest.mark.parametrize("schema", ["/relative", "schema.json", "https://x/y z", "//host/x"])
def test_a_schema_is_an_absolute_uri(schema: str) -> None:
    with pytest.raises(MalformedEvent, match="absolute URI"):
        an_event(dataschema=schema)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/xml; charset=utf-8", 'a/b;c="d;e"', "application/vnd.a+json", "A/B"],
)
def test_a_content_type_is_a_media_type(content_type: str) -> None:
    assert an_event(datacontenttype=content_type).datacontenttype == content_type


@pytest.mark.parametrize(
    "content_type",
    ["xyz", "a/", "/b", "a/b/c", "a b/c", "a/b; c", "a/b;c=", "a/b c", "é/b", "a/b\n"],
)
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedEvent, match="datacontenttype"):
        an_event(datacontenttype=content_type)


@pytest.mark.parametrize("data", [None, 0, "", "text", [1], {"a": None}, 1.5, False])
@pytest.mark.parametrize("content_type", [None, "application/json", "x/y+json; charset=utf-8"])
def test_json_data_is_a_value(data: Any, content_type: str | None) -> None:
    event = an_event(datacontenttype=content_type, data=data)
    assert event.data == data
    assert json.loads(to_structured(event))["data"] == data


def test_no_data_is_not_null() -> None:
    assert an_event().data is NO_DATA
    assert "data" not in to_json(an_event())
    assert an_event(data=None) != an_event()


def test_text_of_another_type_is_kept() -> None:
    event = an_event(datacontenttype="text/xml", data="<a/>")
    assert event.data == "<a/>"
    assert to_json(event)["data"] == "<a/>"


def test_other_than_text_of_another_type_is_refused() -> None:
    with pytest.raises(MalformedEvent, match="must be a string"):
        an_event(datacontenttype="text/xml", data={"a": 1})


def test_bytes_are_in_base64() -> None:
    event = an_event(data_base64="AP8=", datacontenttype="image/png")
    assert event.data == b"\x00\xff"
    assert to_json(event)["data_base64"] == "AP8="


@pytest.mark.parametrize("encoded", ["AP8", "A P8=", "AP_-", "é", "====", 5, ["AP8="], True])
def test_bad_base64_is_refused(encoded: Any) -> None:
    with pytest.raises(MalformedEvent, match="data_base64"):
        an_event(data_base64=encoded)


@pytest.mark.parametrize("data", [None, "x"])
def test_data_is_there_once(data: Any) -> None:
    with pytest.raises(MalformedEvent, match="exclude one another"):
        an_event(data=data, data_base64="AP8=")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b"{",
        b'{"id": NaN}',
        b"\xff",
        b'{"id":"\\udead"}',
        b"[" * 5000,
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match=r"JSON|missing"):
        from_structured(body)


def test_a_batch_may_be_empty_or_hold_many() -> None:
    events = (an_event(), an_event(id="2", data_base64="AP8="), an_event(id="3", data=[None]))
    assert from_batch(b"[]") == ()
    assert from_batch(to_batch(events)) == events


def test_a_bad_event_of_a_batch_is_named() -> None:
    body = json.dumps([MINIMAL, {**MINIMAL, "time": "now"}])
    with pytest.raises(MalformedEvent, match="event 1 of the batch: time 'now'"):
        from_batch(body)


@pytest.mark.parametrize("body", [b"{}", b"null", b"[[]]", b"[null]"])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match="must be"):
        from_batch(body)


def test_what_nests_deep_can_be_written_as_it_was_read() -> None:
    body = json.dumps({**MINIMAL, "data": json.loads("[" * 400 + "]" * 400)}).encode()
    event = from_structured(body)
    assert from_structured(to_structured(event)) == event


def test_an_event_is_made() -> None:
    event = make_event(id="1", source="/here", type="made", data={"a": 1}, extensions={"b": 2})
    assert to_json(event) == {**MINIMAL, "data": {"a": 1}, "b": 2}


def test_making_an_event_checks_it() -> None:
    with pytest.raises(MalformedEvent, match="id must not be empty"):
        make_event(id="", source="/here", type="made")
    with pytest.raises(MalformedEvent, match="subject is no extension"):
        make_event(id="1", source="/here", type="made", extensions={"subject": "x"})
    with pytest.raises(MalformedEvent, match="must be a text or bytes"):
        make_event(id="1", source="/h", type="made", datacontenttype="text/plain", data=[1])


def test_an_event_is_changed_into_another() -> None:
    event = an_event(subject="it", data={"a": 1}, datacontenttype="application/json")
    changed = event.with_attributes({"subject": None, "attempt": 2})
    assert changed == an_event(attempt=2, data={"a": 1}, datacontenttype="application/json")
    assert event.subject == "it"
    assert event.with_data("x", "text/plain").data == "x"
    with pytest.raises(MalformedEvent, match="id is missing"):
        event.with_attributes({"id": None})
