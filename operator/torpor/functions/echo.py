"""What was written and is not yet seen in the watch, so that it is not written twice. Pure.

Answers are kept packed: a thousand new Functions wait for their echoes at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.platform.kubernetes.packed import pack, unpack

Json = Mapping[str, Any]

TRUST_SECONDS = 2.0
"""How long an answer of the API stands for the watch's copy; after that the watch is believed."""

_UNREAD = "managedFields"


@dataclass(frozen=True, slots=True)
class _Written:
    version_before: str | None
    answer: bytes
    until: float


class Echo:
    """Answers of writes, by any key, each until the watch shows another version or time is up."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._written: dict[Hashable, _Written] = {}

    def wrote(self, key: Hashable, before: Json | None, answer: Json) -> None:
        """Note the `answer` to a write that was made when the watch showed `before`."""
        until = self._clock() + TRUST_SECONDS
        meta = {name: value for name, value in answer["metadata"].items() if name != _UNREAD}
        packed = pack({**answer, "metadata": meta})
        self._written[key] = _Written(_version(before), packed, until)

    def latest(self, key: Hashable, watched: Json | None) -> Json | None:
        """Return the answer while the watch still shows what it showed before, else `watched`."""
        written = self._written.get(key)
        if written is None:
            return watched
        if written.version_before == _version(watched) and self._clock() < written.until:
            return unpack(written.answer)
        del self._written[key]
        return watched

    def pending(self, key: Hashable) -> bool:
        """Return whether the watch has still to show what was written."""
        return key in self._written

    def forget(self, key: Hashable) -> None:
        """Believe the watch again."""
        self._written.pop(key, None)


def _version(obj: Json | None) -> str | None:
    return obj["metadata"].get("resourceVersion") if obj else None
