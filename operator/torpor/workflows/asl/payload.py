"""A JSON value that travels between states, serialised at most once.

The output of one state is the input of the next and appears in two history events: sharing one
`Payload` means one serialisation and one hash for all of them.
"""

from __future__ import annotations

import hashlib
from typing import Final

from torpor.expressions.values import Json, json_text


class Payload:
    """One immutable JSON value with its text and content hash."""

    __slots__ = ("_digest", "_text", "value")

    def __init__(self, value: Json, text: str | None = None) -> None:
        self.value = value
        self._text = text
        self._digest: bytes | None = None

    @property
    def text(self) -> str:
        """The value as compact JSON text."""
        if self._text is None:
            self._text = json_text(self.value)
        return self._text

    @property
    def size(self) -> int:
        """The length of the text in bytes of UTF-8."""
        text = self.text
        return len(text) if text.isascii() else len(text.encode())

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the text: the key under which a large payload is stored once."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.text.encode()).digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Payload) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Payload({self.text[:80]})"


EMPTY: Final = Payload({})
"""The input of an execution that was started without one."""
