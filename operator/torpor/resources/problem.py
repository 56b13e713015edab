"""Problem details (RFC 9457), as every API of Torpor's own roles tells what went wrong. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


def problem_details(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return the object for an answer of this status; `code` is a word for programs."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
    }
