"""The arguments of `http:invoke`: what can be sent is, everything else is refused with its name."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.workflows.engine.integrations.http_call import Call, read_call

URL = "https://api.example.com/x"


def read(**given: Any) -> Call:
    return read_call({"ApiEndpoint": URL, "Method": "GET", **given}, "key")


def test_numbers_and_booleans_are_written_as_in_json() -> None:
    call = read(
        Headers={"X-N": 1, "X-B": True, "X-T": "grüße\tdich"},
        QueryParameters={"n": 1.5, "b": False, "t": "a b&c", "list": ["x", 2]},
    )
    assert dict(call.headers) == {
        "Idempotency-Key": "key",
        "X-N": "1",
        "X-B": "true",
        "X-T": "grüße\tdich",
    }
    assert list(call.url.query.items()) == [
        ("n", "1.5"),
        ("b", "false"),
        ("t", "a b&c"),
        ("list", "x"),
        ("list", "2"),
    ]


def test_what_is_null_is_not_there() -> None:
    call = read(Headers=None, QueryParameters=None, Transform=None, InvocationConfig=None)
    assert (str(call.url), call.arrays, call.connection) == (URL, None, None)


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        ("Method", 5, "Method must be one of GET, POST"),
        ("Method", "GET /x", "Method must be one of GET, POST"),
        ("Method", None, "Method must be one of GET, POST"),
        ("Headers", "x", 'Headers must be a JSON object, not "x"'),
        ("Headers", {"b": None}, 'Headers: "b" must be a text, a number or a boolean, not null'),
        ("Headers", {"c": ["x"]}, 'Headers: "c" must be a text, a number or a boolean, not ["x"]'),
        ("Headers", {"a b": "x"}, 'Headers: "a b" has characters that no header can have'),
        ("Headers", {"a": "x\r\nY: 1"}, 'Headers: "a" has characters that no header can have'),
        ("Headers", {"content-length": 1}, "Headers: content-length is the connection's own"),
        ("Headers", {"Transfer-Encoding": "chunked"}, "Transfer-Encoding is the connection's own"),
        ("Headers", {"HOST": "x"}, "HOST is the connection's own and cannot be set"),
        ("QueryParameters", "x", 'QueryParameters must be a JSON object, not "x"'),
        ("QueryParameters", {"q": {}}, 'QueryParameters: "q" must be a text, a number or a bool'),
        ("QueryParameters", {"q": [None]}, 'QueryParameters: "q" must be a text'),
        ("Transform", 5, "Transform must be a JSON object, not 5"),
        ("Transform", {"RequestBodyEncoding": 5}, "RequestBodyEncoding is NONE or URL_ENCODED"),
        ("InvocationConfig", "x", 'InvocationConfig must be a JSON object, not "x"'),
        ("ApiEndpoint", "http://127.0.0.1/\r\nX: y", "ApiEndpoint must be an http or https URL"),
        ("ApiEndpoint", "http://a b/", "ApiEndpoint must be an http or https URL"),
        ("ApiEndpoint", 5, "ApiEndpoint must be an http or https URL, not 5"),
        ("ApiEndpoint", "file:///etc/passwd", "ApiEndpoint must be an http or https URL"),
    ],
)
def test_what_cannot_be_sent_is_refused(member: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read(**{member: value})
    assert told in str(refused.value)
