"""How a function's program ended: in full for its owner, and what of it strangers may know. Pure.

A program's last words often hold what nobody else should read: an exception's message quotes
addresses, passwords, data. Of them a stranger gets the class of an exception, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EXCEPTION = re.compile(r"(?:\w+\.)*(\w*(?:Error|Exception|Exit|Interrupt))(?::|$)")


@dataclass(frozen=True, slots=True)
class Ending:
    """`how` is told by the system (`exit code 1`), `last_words` is one line by the program."""

    how: str
    last_words: str = ""

    @property
    def in_full(self) -> str:
        """Both, for the Function's condition and for logs."""
        return f"{self.how}: {self.last_words}" if self.last_words else self.how

    @property
    def public(self) -> str:
        """What callers may read: how, and the class of the exception that the last words tell."""
        exception = _EXCEPTION.match(self.last_words)
        return f"{self.how}: {exception[1]}" if exception else self.how
