"""What a request to a Job Function becomes."""

from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict

from torpor.gateway.runs.input import input_of, key_of, trace_of
from torpor.resources.run import MAX_INPUT_BYTES, RunRefused

EVENT = {"CE-SpecVersion": "1.0", "ce-id": "7", "ce-source": "/shop", "ce-type": "order"}


def headers(**named: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in named.items()})


def test_text_is_taken_as_it_is() -> None:
    assert input_of(headers(), "caffè".encode()) == "caffè"
    assert input_of(headers(), b"") == ""


@pytest.mark.parametrize(
    ("found", "body", "status"),
    [
        (headers(), b"\xff\xfe", 415),
        (headers(Content_Encoding="gzip"), b"x", 415),
        (headers(), b"x" * (MAX_INPUT_BYTES + 1), 413),
    ],
)
def test_what_is_no_short_text_is_refused(
    found: CIMultiDict[str], body: bytes, status: int
) -> None:
    with pytest.raises(RunRefused) as refused:
        input_of(found, body)
    assert refused.value.status == status
    assert "send" in str(refused.value)


def test_a_cloudevent_in_binary_mode_is_put_together() -> None:
    found = CIMultiDict({**EVENT, "ce-subject": "caff%C3%A8", "Content-Type": "application/json"})
    assert json.loads(input_of(found, b'{"n": 1}')) == {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": "order",
        "subject": "caffè",
        "datacontenttype": "application/json",
        "data": {"n": 1},
    }


def test_the_key_names_the_invocation() -> None:
    assert key_of(headers(Idempotency_Key="a"), lambda: "new") == "a"
    assert key_of(headers(), lambda: "new") == "new"
    assert key_of(CIMultiDict(EVENT), lambda: "new") == "/shop\n7", "CloudEvents 1.0, 3.1"
    assert key_of(headers(Idempotency_Key="caff\udcc3"), lambda: "new") == "caff\\udcc3"
    with pytest.raises(RunRefused, match="at most 255"):
        key_of(headers(Idempotency_Key="a" * 256), lambda: "new")


def test_bytes_in_headers_that_are_no_text_do_no_harm() -> None:
    found = CIMultiDict({**EVENT, "ce-subject": "\udcc3"})
    assert json.loads(input_of(found, b""))["subject"] == "?"


@pytest.mark.parametrize("given", ["", "$(SECRET)", "00-1-2-01"])
def test_only_a_trace_is_passed_on(given: str) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert trace_of(headers(traceparent=trace)) == trace
    assert trace_of(headers(traceparent=given)) == ""
