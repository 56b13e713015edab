"""Tokens derived from the installation's one secret key (HMAC-SHA256, RFC 2104). Pure.

The key lives in the Secret `torpor-internal`; the controller makes it, gateways and engines read
it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from torpor.resources.names import FunctionKey

SECRET_NAME = "torpor-internal"  # noqa: S105 - the name of an object, not a secret
SECRET_FIELD = "key"  # noqa: S105
TOKEN_HEADER = "X-Torpor-Token"  # noqa: S105 - the name of a header
"""The header with a token of who comes through a proxy that keeps Authorization for itself."""


@dataclass(frozen=True, slots=True)
class InstanceTokens:
    """What the instances of one function are given: to show, and to know who shows it."""

    announce: str = field(repr=False)
    detail: str = field(repr=False)


def instance_tokens(key: bytes, function: FunctionKey, uid: str) -> InstanceTokens:
    """Return the tokens of a function's instances; `uid` is that of the Function."""
    return InstanceTokens(announce_token(key, uid), detail_token(key, function))


def announce_token(key: bytes, function_uid: str) -> str:
    """Return what an instance of the function proves itself with when it announces its address."""
    return _derive(key, f"announce:{function_uid}")


def detail_token(key: bytes, function: FunctionKey) -> str:
    """Return what a caller shows to be told why the function failed, not only that it did."""
    return _derive(key, f"detail:{function}")


def internal_token(key: bytes) -> str:
    """Return what the controller and the gateways show one another."""
    return _derive(key, "internal")


def task_token_key(key: bytes) -> bytes:
    """Return the key that the engines sign the task tokens of workflows with."""
    return _derive(key, "task-token").encode()


def bearer(authorization: str) -> str:
    """Return the token of an Authorization header (RFC 6750); empty for another scheme or none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def matches(expected: str, given: str) -> bool:
    """Return whether the two are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="surrogateescape"))


def _derive(key: bytes, purpose: str) -> str:
    return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()
