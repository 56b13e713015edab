"""Spans, metrics and progress that others tell over HTTP: no more of it is held than may come."""

from __future__ import annotations

import aiohttp


async def bounded(content: aiohttp.StreamReader, most_bytes: int) -> bytes | None:
    """Return all that comes, None once it is longer than `most_bytes`; the caller has a deadline.

    aiohttp's errors go through: ClientError of an answer, RequestPayloadError of a request.
    """
    found = bytearray()
    async for piece in content.iter_any():
        found += piece
        if len(found) > most_bytes:
            return None
    return bytes(found)
