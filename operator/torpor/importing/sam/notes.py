"""What an import has to say: nothing of a template is dropped without a note. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Weight(Enum):
    """How much a note means."""

    LEFT_OUT = "not imported"
    """Something that the template asks for is not there: a person must act."""
    DIFFERS = "differs"
    """It works, in another way."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line about one place of the template, such as `JobQueue.KmsMasterKeyId`."""

    weight: Weight
    place: str
    text: str

    def __str__(self) -> str:
        """Return it as it is printed: in one line, so that it can be a comment."""
        return " ".join(f"{self.weight.value}: {self.place}: {self.text}".split())


class Notes:
    """Collects notes, each once, in their order."""

    def __init__(self) -> None:
        self._found: dict[Note, None] = {}

    def left_out(self, place: str, text: str) -> None:
        """Say that something is not there."""
        self._found[Note(Weight.LEFT_OUT, place, text)] = None

    def differs(self, place: str, text: str) -> None:
        """Say that something works in another way."""
        self._found[Note(Weight.DIFFERS, place, text)] = None

    def __iter__(self) -> Iterator[Note]:
        """Yield them."""
        return iter(self._found)
