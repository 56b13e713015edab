"""The messages that InvokeWithResponseStream is answered with. Pure.

Source: "Event stream encoding" in the AWS SDKs' reference (application/vnd.amazon.eventstream): the
lengths of all and of the headers, a checksum of these, headers, payload, a checksum of everything.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from zlib import crc32

import orjson

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7
_CHECKSUM_BYTES = 4


def chunk(part: bytes) -> bytes:
    """Return the message that carries a part of the answer."""
    return _message("PayloadChunk", "application/octet-stream", part)


def complete(told: Mapping[str, str]) -> bytes:
    """Return the last message; `told` is empty, or has ErrorCode and ErrorDetails."""
    return _message("InvokeComplete", "application/json", orjson.dumps(told))


def _message(event: str, content_type: str, payload: bytes) -> bytes:
    headers = b"".join(
        (
            _header(":message-type", "event"),
            _header(":event-type", event),
            _header(":content-type", content_type),
        )
    )
    lengths = struct.pack(">II", 12 + len(headers) + len(payload) + _CHECKSUM_BYTES, len(headers))
    checked = b"".join((lengths, struct.pack(">I", crc32(lengths)), headers, payload))
    return checked + struct.pack(">I", crc32(checked))


def _header(name: str, value: str) -> bytes:
    title, told = name.encode(), value.encode()
    length = struct.pack(">BH", _TEXT, len(told))
    return bytes([len(title)]) + title + length + told
