"""What counts as the output that a document shows."""

from __future__ import annotations

import pytest

from tests.docs.expected import missing

PRINTED = """\
NAME    READY   AGE
hello   True    5s
HTTP/1.1 200 OK
x-torpor-cold-start: 130

{"hello": "Ada"}
requests 484, wrong 0
"""


@pytest.mark.parametrize(
    "shown",
    [
        "hello True 72s",
        "hello True 2m12s",
        'HTTP/1.1 200 OK\n…\n{"hello": "Ada"}',
        "x-torpor-cold-start: 7",
        "x-… 1\nrequests 12, wrong 0",
        "",
    ],
)
def test_numbers_spaces_and_what_is_left_out_do_not_count(shown: str) -> None:
    assert missing(shown, PRINTED) is None


@pytest.mark.parametrize(
    "shown",
    [
        "hello False 5s",
        "HTTP/1.1 503 Service Unavailable",
        "HTTP/1.1 201 OK",
        '{"hello": "Bob"}',
        "requests 484, wrong 3, lost 0",
        "hello True 0",
    ],
)
def test_words_and_status_codes_count(shown: str) -> None:
    assert missing(shown, PRINTED) == shown


def test_a_zero_is_not_any_number() -> None:
    assert missing("wrong 0", "wrong 3") == "wrong 0"


def test_order_counts() -> None:
    assert missing('{"hello": "Ada"}\nhello True 5s', PRINTED) == "hello True 5s"
