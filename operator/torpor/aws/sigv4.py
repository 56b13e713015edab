"""Signature Version 4: whether a request was signed by somebody who has a known secret.

Source: AWS General Reference, "Create a signed AWS API request". Pure: the time is passed in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus

from torpor.aws.errors import Refused

ALGORITHM = "AWS4-HMAC-SHA256"
MOST_SKEW_SECONDS = 300.0
"""How far a request's time may be from ours, so that a recorded one cannot be sent again later."""
_DATE = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),"
    r"\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """What of a request is signed. Names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def verify(request: Signed, secrets: Mapping[str, str], now: float) -> None:
    """Refuse a request that none of these access keys signed, or that is too old."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refused("IncompleteSignatureException", "Authorization is not Signature Version 4")
    access_key, _, scope = found["credential"].partition("/")
    secret = secrets.get(access_key)
    if secret is None:
        message = "The security token included in the request is invalid."
        raise Refused("UnrecognizedClientException", message)
    moment = request.headers.get("x-amz-date", "")
    _check_time(moment, scope, now)
    names = found["headers"].split(";")
    if "host" not in names or "x-amz-date" not in names:
        raise _mismatch("The headers host and x-amz-date must be signed.")
    expected = _signature(secret, scope, moment, _canonical(request, names))
    if not hmac.compare_digest(expected, found["signature"]):
        raise _mismatch(
            "The request signature we calculated does not match the signature you provided. Check "
            "your AWS Secret Access Key and signing method. Consult the service documentation for "
            "details."
        )


def _check_time(moment: str, scope: str, now: float) -> None:
    try:
        sent = datetime.strptime(moment, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _mismatch(f"The header x-amz-date is not a time: '{moment}'") from None
    if abs(sent - now) > MOST_SKEW_SECONDS:
        raise _mismatch(f"Signature expired or not yet current: {moment}")
    if not scope.startswith(f"{moment[:8]}/") or scope.count("/") != 3:
        raise _mismatch(f"Credential should be scoped to a valid date: '{scope}'")


def _canonical(request: Signed, names: list[str]) -> str:
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names]
    return "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),  # once more: it is encoded already
            _canonical_query(request.query),
            "".join(headers),
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = [
        f"{quote(unquote_plus(name), safe='-_.~')}={quote(unquote_plus(value), safe='-_.~')}"
        for name, _, value in pairs
    ]
    return "&".join(sorted(encoded))


def _signature(secret: str, scope: str, moment: str, canonical: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, moment, scope, digest])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _mismatch(message: str) -> Refused:
    return Refused("InvalidSignatureException", message)
