"""What a handler may return, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from torpor_runtime.answer import BadReturn, answer_of
from torpor_runtime.event import Event, Headers


@pytest.mark.parametrize(
    ("returned", "status", "kind", "body"),
    [
        ("hé", 200, "text/plain; charset=utf-8", "hé".encode()),
        (b"x", 200, "application/octet-stream", b"x"),
        ({"a": 1}, 200, "application/json", b'{"a": 1}'),
        ([1], 200, "application/json", b"[1]"),
        (None, 204, None, b""),
        ((201, "made"), 201, "text/plain; charset=utf-8", b"made"),
        ((304, None), 304, None, b""),
        ((200, {"Content-Type": "text/html"}, "<p>"), 200, "text/html", b"<p>"),
        ((200, [("content-type", "text/css")], "p"), 200, "text/css", b"p"),
    ],
)
def test_answers(returned: Any, status: int, kind: str | None, body: bytes) -> None:
    answer = answer_of(returned)
    kinds = [value for name, value in answer.headers if name.lower() == "content-type"]
    assert (answer.status, kinds, answer.body) == (status, [kind] if kind else [], body)


@pytest.mark.parametrize(
    "returned",
    [
        7,
        object(),
        (200,),
        ("200", "x"),
        (99, "x"),
        (200, {"X": "a\r\nSet-Cookie: b"}, "x"),
        (200, {"X Y": "a"}, "x"),
        (1, 2, 3, 4),
    ],
)
def test_what_is_no_answer_is_refused(returned: Any) -> None:
    with pytest.raises(BadReturn):
        answer_of(returned)


def test_an_event_reads_path_query_and_body() -> None:
    event = Event("POST", "/a%20b?x=1&y=&x=2", Headers(), b'{"k": [1]}')
    assert (event.path, event.query) == ("/a b", {"x": "2", "y": ""})
    assert (event.text, event.json()) == ('{"k": [1]}', {"k": [1]})


def test_a_number_that_json_cannot_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        answer_of({"ratio": float("nan")})
