"""Page tokens: where the next page begins, opaque to clients. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from torpor.workflows.ledger.base import InvalidToken
from torpor.workflows.records import Page, T


def token_of(place: Sequence[Any]) -> str:
    """The token of the page after this place."""
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def place_of(token: str | None, *types: type) -> list[Any] | None:
    """The place that a token names, None without one. Raises InvalidToken for any other text."""
    if token is None:
        return None
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        place = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise InvalidToken("Invalid Token") from None
    if not isinstance(place, list) or [type(value) for value in place] != list(types):
        raise InvalidToken("Invalid Token")
    return place


def page_of(items: Sequence[T], limit: int, places: Sequence[Sequence[Any]]) -> Page[T]:
    """The first `limit` of the items read (one more than that was asked for), and what follows."""
    if len(items) <= limit:
        return Page(tuple(items))
    return Page(tuple(items[:limit]), token_of(places[limit - 1]))
