"""What a handler may return, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from torpor.gateway.dataplane.haproxy import answers
from torpor_runtime.answer import (
    CODES,
    MAX_FIELD_BYTES,
    MAX_FIELDS,
    MAX_FIELDS_BYTES,
    MAX_NAME_BYTES,
    BadReturn,
    answer_of,
    problem,
)
from torpor_runtime.event import Event, Headers

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "handler.md"


@pytest.mark.parametrize(
    ("returned", "status", "kind", "body"),
    [
        ("hé", 200, "text/plain; charset=utf-8", "hé".encode()),
        (b"x", 200, "application/octet-stream", b"x"),
        (bytearray(b"x"), 200, "application/octet-stream", b"x"),
        (memoryview(b"x"), 200, "application/octet-stream", b"x"),
        ({"a": 1}, 200, "application/json", b'{"a": 1}'),
        ([1], 200, "application/json", b"[1]"),
        (7, 200, "application/json", b"7"),
        (1.5, 200, "application/json", b"1.5"),
        (False, 200, "application/json", b"false"),
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
        object(),
        (200,),
        ("200", "x"),
        (99, "x"),
        (200, {"X": "a\r\nSet-Cookie: b"}, "x"),
        (200, {"X Y": "a"}, "x"),
        (1, 2, 3, 4),
        (200, {"X": "a" * 20_000}, "x"),
        (200, {"N" * 129: "a"}, "x"),
        (200, {f"X-{n}": "a" for n in range(2000)}, "x"),
        (200, {"X": ["a"] * 65}, "x"),
        (200, {"X": ["a" * 1000] * 13}, "x"),
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


@pytest.mark.parametrize(
    "headers",
    [
        {"Set-Cookie": ["a=1", "b=2"]},
        {"Set-Cookie": ("a=1", "b=2")},
        [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
    ],
)
def test_a_field_with_several_values_is_sent_as_often(headers: Any) -> None:
    answer = answer_of((204, headers, None))
    assert answer.headers == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


def test_a_header_as_large_as_may_be_is_taken() -> None:
    assert answer_of((204, {"X": "a" * (MAX_FIELD_BYTES - 5)}, None)).status == 204
    each = MAX_FIELDS_BYTES // MAX_FIELDS - len("X-10") - 4
    many = {f"X-{n}": "a" * each for n in range(10, 10 + MAX_FIELDS)}
    assert len(answer_of((204, many, None)).headers) == MAX_FIELDS
    assert answer_of((204, {"N" * MAX_NAME_BYTES: "a"}, None)).status == 204


@pytest.mark.parametrize("status", sorted(CODES))
def test_a_problem_has_all_that_a_gateways_has_and_its_code_is_explained(status: int) -> None:
    body = problem(status, "why", "r-1").body
    assert isinstance(body, bytes)
    told = json.loads(body)
    assert list(told) == list(json.loads(answers.TIMEOUT.text()))
    assert (told["status"], told["detail"], told["requestId"]) == (status, "why", "r-1")
    assert f"| {status} | `{told['code']}` |" in PAGE.read_text()


def test_a_time_out_is_one_body_whichever_side_tells_it() -> None:
    gateway = answers.TIMEOUT
    ours = problem(504, gateway.detail, "r-1")
    assert ours.body == answers.problem(504, gateway.code, gateway.detail, "r-1").encode()
    assert ("Content-Type", answers.CONTENT_TYPE) in ours.headers
