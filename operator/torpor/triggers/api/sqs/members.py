"""The members of requests, read one by one as SQS checks them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.triggers.api.sqs import errors

MAX_ENTRIES = 10
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class Members:
    """A JSON object of a request. Each method refuses what is of the wrong type or out of range."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, value: Any, where: str = "") -> Members:
        """Return the members of a JSON object."""
        if not isinstance(value, dict):
            raise errors.unreadable(where)
        return cls(value)

    def text(self, name: str) -> str | None:
        """Return a string, None where there is none."""
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise errors.unreadable(name)

    def required_text(self, name: str) -> str:
        """Return a string that is not empty."""
        value = self.text(name)
        if not value:
            raise errors.missing(name)
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Return an integer from `low` to `high`, None where there is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) is not int:
            raise errors.unreadable(name)
        if not low <= value <= high:
            raise errors.invalid(name, value, f"Must be between {low} and {high}, if provided.")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of strings, empty where there is none."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise errors.unreadable(name)
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a JSON object, empty where there is none."""
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            raise errors.unreadable(name)
        return value

    def entries(self) -> dict[str, Members]:
        """Return the entries of a batch by their ids, which are checked."""
        value = self.values.get("Entries")
        if not isinstance(value, list) or not value:
            raise errors.empty_batch()
        if len(value) > MAX_ENTRIES:
            raise errors.long_batch(len(value))
        found: dict[str, Members] = {}
        for item in value:
            entry = Members.of(item, "Entries")
            entry_id = entry.text("Id") or ""
            if _ENTRY_ID.fullmatch(entry_id) is None:
                raise errors.bad_entry_id()
            if entry_id in found:
                raise errors.repeated_id(entry_id)
            found[entry_id] = entry
        return found
