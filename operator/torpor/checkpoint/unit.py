"""What work is divided into, and what is known of a unit that is done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"{_PART}(/{_PART})*")
_ARGS: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_LIKE_AN_OBJECT: Final = re.compile(r"-[0-9a-f]{8}$")
MOST_NAME_CHARACTERS: Final = 200


LONE_SURROGATES: Final = "backslashreplace"
"""How JSON text is encoded: what is no UTF-8 in a file's name becomes JSON's own escape of it."""


def hash_of(document: object) -> str:
    """Return 16 hexadecimal digits that are the same for the same JSON, whatever its key order."""
    return hashlib.sha256(canonical(document)).hexdigest()[:16]


def canonical(document: object) -> bytes:
    """Return JSON with one form for each value."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors=LONE_SURROGATES)


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work whose result is one object.

    `name` is parts of letters, digits, `.`, `_` and `-`, each beginning with a letter or digit,
    divided by slashes, such as `h264-720p/00003`; it does not end in `-` and 8 hexadecimal digits.
    `args` is a hash of all that decides the result besides the name (`hash_of`): with other
    arguments it is another unit, so results of two versions never mix.
    """

    name: str
    args: str = "0"

    def __post_init__(self) -> None:
        if len(self.name) > MOST_NAME_CHARACTERS or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name[:80]!r} cannot name a unit: parts of letters, digits, . _ and -, each "
                "beginning with a letter or digit, divided by /; at most "
                f"{MOST_NAME_CHARACTERS} characters"
            )
        if _LIKE_AN_OBJECT.search(self.name):
            raise ValueError(f"{self.name!r} ends as the names of objects do: choose another name")
        if not _ARGS.fullmatch(self.args):
            raise ValueError(f"{self.args[:80]!r} cannot be the hash of a unit's arguments")

    @property
    def folder(self) -> str:
        """Where the units of these arguments are, below the checkpoint's prefix."""
        return f"seg/{self.args}/"

    @property
    def record(self) -> str:
        """The key of its record, below the checkpoint's prefix."""
        return f"{self.folder}{self.name}.json"

    def object(self, sha256: str, suffix: str) -> str:
        """Return the key of its object, below the checkpoint's prefix."""
        return f"{self.folder}{self.name}-{sha256[:8]}{suffix}"


@dataclass(frozen=True, slots=True)
class Record:
    """A committed unit: what its object is, and what the program noted of it (`facts`).

    `object` is a key below the checkpoint's prefix; `attempt` counts the starts of the program;
    `seconds` is how long the unit was worked on.
    """

    unit: Unit
    object: str
    size_bytes: int
    sha256: str
    attempt: int = 1
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "unit": self.unit.name,
            "args": self.unit.args,
            "object": self.object,
            "size": self.size_bytes,
            "sha256": self.sha256,
            "attempt": self.attempt,
            "seconds": self.seconds,
            "facts": dict(self.facts),
        }

    @classmethod
    def of(cls, unit: Unit, content: bytes) -> Record | None:
        """Return the record of a unit, or None for what is not one."""
        try:
            kept = json.loads(content)
            record = cls(
                unit,
                str(kept["object"]),
                int(kept["size"]),
                str(kept["sha256"]),
                int(kept["attempt"]),
                float(kept["seconds"]),
                dict(kept["facts"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        named = record.object.startswith(unit.object(record.sha256, ""))
        return record if named and kept.get("unit") == unit.name else None
