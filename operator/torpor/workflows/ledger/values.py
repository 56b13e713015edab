"""JSON values in the ledger's columns: small ones in their row, large ones once by content. Pure.

A value in a row is `{"v": value}` or `{"blob": "<SHA-256 of its text, in hex>"}`. Bodies are bytes:
PostgreSQL's `text` takes no NUL and no lone surrogate, both of which a JSON string can hold.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from torpor.expressions.values import json_text
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json

INLINE_BYTES: Final = 4_096
"""A value whose text is longer is stored as a blob."""
_LONG_INTEGER = re.compile(rb"\d{19}")


class Blobs:
    """The large values that rows being encoded refer to, each once."""

    __slots__ = ("bodies",)

    def __init__(self) -> None:
        self.bodies: dict[bytes, Payload] = {}

    def add(self, payload: Payload) -> bytes:
        """Take a value in; returns its digest."""
        digest = payload.digest
        self.bodies[digest] = payload
        return digest


def dump(document: Mapping[str, Any] | list[Any]) -> bytes:
    """A document of the ledger's own, in which values of users are `fragment`s."""
    return orjson.dumps(document)


def fragment(value: Json) -> orjson.Fragment:
    """A user's value as it goes into a document: any integer and string that JSON allows."""
    return orjson.Fragment(encode_text(json_text(value)))


def text_fragment(payload: Payload) -> orjson.Fragment:
    """A payload as it goes into a document, not serialised again."""
    return orjson.Fragment(encode_text(payload.text))


def encode_text(text: str) -> bytes:
    """JSON text as it is stored."""
    return text.encode("utf-8", "surrogatepass")


def parse(text: bytes) -> Any:
    """The value of stored JSON text; long integers stay exact."""
    if not _LONG_INTEGER.search(text):
        # A lone surrogate: Python's own parser takes it.
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return json.loads(text.decode("utf-8", "surrogatepass"))


def put(payload: Payload | None, blobs: Blobs) -> dict[str, Any] | None:
    """A payload as part of a document."""
    if payload is None:
        return None
    if is_large(payload):
        return {"blob": blobs.add(payload).hex()}
    return {"v": text_fragment(payload)}


def reput(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a document that was read, as part of one to be written."""
    return {"v": fragment(document["v"])} if "v" in document else document


def is_large(payload: Payload) -> bool:
    """Whether a payload is stored as a blob."""
    return len(payload.text) > INLINE_BYTES


def digests(document: Any) -> Iterable[bytes]:
    """The digest that a stored reference names, if it names one."""
    if document is not None and "blob" in document:
        yield bytes.fromhex(document["blob"])


def get(document: Any, bodies: Mapping[bytes, Payload]) -> Payload:
    """A payload from its part of a document."""
    if "blob" in document:
        return bodies[bytes.fromhex(document["blob"])]
    return Payload(document["v"])


def stored_payload(body: bytes) -> Payload:
    """A payload from its stored text."""
    return Payload(parse(body), body.decode("utf-8", "surrogatepass"))


def plain(text: str | None) -> str | None:
    """Text as a `text` column takes it: NUL and lone surrogates are replaced."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
