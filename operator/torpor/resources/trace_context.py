"""What a `traceparent` says (W3C Trace Context, 3.2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_WHOLE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_BEGINNING: Final = re.compile(_WHOLE.pattern + r"\b")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The trace, the caller's span and the flags, in lower-case hex.

    An id of zeros names nothing, and is None.
    """

    trace_id: str | None
    span_id: str | None
    flags: str

    @property
    def is_sampled(self) -> bool:
        """Whether spans below it are wanted ("Sampled flag")."""
        return is_sampled(self.flags)


def is_sampled(flags: str) -> bool:
    """Return whether flags, two digits in hex, ask for spans ("Sampled flag")."""
    return bool(int(flags, 16) & _SAMPLED)


def whole(text: str) -> TraceParent | None:
    """Return what a text says that is a traceparent and nothing more."""
    return _said(_WHOLE.fullmatch(text))


def beginning(text: str) -> TraceParent | None:
    """Return what a text says that begins as one; a later version may say more ("Versioning")."""
    return _said(_BEGINNING.match(text))


def _said(found: re.Match[str] | None) -> TraceParent | None:
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    return TraceParent(_named(trace_id), _named(span_id), flags)


def _named(digits: str) -> str | None:
    return digits if int(digits, 16) else None
