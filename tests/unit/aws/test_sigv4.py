"""Signatures, against botocore's own signer and a request that AWS documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from torpor.aws.errors import Refused
from torpor.aws.sigv4 import MOST_SKEW_SECONDS, Signed, verify

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
# "get-vanilla" of AWS's Signature Version 4 test suite.
VANILLA = Signed(
    "GET",
    "/",
    "",
    {
        "host": "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        ),
    },
    b"",
)
THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()


def signed_now(url: str, body: bytes) -> Signed:
    request: Any = botocore.awsrequest.AWSRequest(
        "POST", url, headers={"X-Amz-Target": "AWSStepFunctions.X"}, data=body
    )
    credentials = botocore.credentials.Credentials(KEY, SECRET)
    botocore.auth.SigV4Auth(credentials, "states", "us-east-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["host"] = url.split("/")[2]
    path, _, query = url.split("/", 3)[3].partition("?")
    return Signed("POST", f"/{path}", query, headers, body)


def now_of(request: Signed) -> float:
    text = request.headers["x-amz-date"]
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def refusal(request: Signed, now: float, secrets: dict[str, str]) -> str:
    with pytest.raises(Refused) as refused:
        verify(request, secrets, now)
    return refused.value.code


def test_the_documented_request() -> None:
    verify(VANILLA, {KEY: SECRET}, THEN)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8100/", "http://localhost:8100/?b=2&a=1", "http://h/?a=x%20y&a=%2F"],
)
def test_what_botocore_signs(url: str) -> None:
    request = signed_now(url, b'{"a": "\xc3\xa4"}')
    verify(request, {KEY: SECRET}, now_of(request))


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"other"},
        {"method": "PUT"},
        {"path": "/other"},
        {"query": "a=1"},
    ],
)
def test_what_was_changed_on_the_way(change: dict[str, Any]) -> None:
    request = replace(signed_now("http://localhost/", b"{}"), **change)
    assert refusal(request, now_of(request), {KEY: SECRET}) == "InvalidSignatureException"


def test_another_header() -> None:
    request = signed_now("http://localhost/", b"{}")
    headers = {**request.headers, "x-amz-target": "AWSStepFunctions.Y"}
    changed = replace(request, headers=headers)
    assert refusal(changed, now_of(request), {KEY: SECRET}) == "InvalidSignatureException"


@pytest.mark.parametrize("seconds", [MOST_SKEW_SECONDS + 1, -MOST_SKEW_SECONDS - 1])
def test_another_time(seconds: float) -> None:
    assert refusal(VANILLA, THEN + seconds, {KEY: SECRET}) == "InvalidSignatureException"


def test_another_secret_or_key() -> None:
    assert refusal(VANILLA, THEN, {KEY: "guess"}) == "InvalidSignatureException"
    assert refusal(VANILLA, THEN, {"OTHER": SECRET}) == "UnrecognizedClientException"


@pytest.mark.parametrize("text", ["", "AWS4-HMAC-SHA256", "Basic x", "AWS4-HMAC-SHA256 Credential"])
def test_what_is_no_signature(text: str) -> None:
    request = replace(VANILLA, headers={**VANILLA.headers, "authorization": text})
    assert refusal(request, THEN, {KEY: SECRET}) == "IncompleteSignatureException"


def test_the_host_must_be_signed() -> None:
    text = VANILLA.headers["authorization"].replace("host;x-amz-date", "x-amz-date")
    request = replace(VANILLA, headers={**VANILLA.headers, "authorization": text})
    assert refusal(request, THEN, {KEY: SECRET}) == "InvalidSignatureException"
