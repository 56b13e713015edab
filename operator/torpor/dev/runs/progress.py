"""Asks a local program for its progress, as the leader asks the pods of a run."""

from __future__ import annotations

import asyncio

import orjson

from torpor.functions.runs.progress import Progress, understood

_ANSWER_SECONDS = 2.0
_MOST_BYTES = 16_384
_REQUEST = b"GET /progress HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


async def ask(port: int) -> Progress | None:
    """Return what a program here tells of its progress, None if it tells nothing."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            head, _, body = (await _answer(port)).partition(b"\r\n\r\n")
    except (OSError, TimeoutError):
        return None
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return None
    try:
        return understood(orjson.loads(body))
    except ValueError:
        return None


async def _answer(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = bytearray()
    try:
        writer.write(_REQUEST)
        while len(found) < _MOST_BYTES and (part := await reader.read(_MOST_BYTES)):
            found += part
    finally:
        writer.close()
    return bytes(found)
