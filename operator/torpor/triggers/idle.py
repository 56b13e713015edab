"""The inboxes of asynchronous calls with nothing left to do, as the events role tells them.

The controller knows which Functions there are, the role which of them were called: so the one asks
the other, and has the inboxes of those removed that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torpor.resources.names import FunctionKey

IDLE_PATH = "/v1/idle-calls"


@dataclass(frozen=True, slots=True)
class IdleInbox:
    """An implied inbox by its key, and the Function whose calls or ends of calls it holds."""

    key: FunctionKey
    function: FunctionKey

    def to_json(self) -> dict[str, str]:
        """Return its JSON form."""
        return {"inbox": str(self.key), "function": str(self.function)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; ValueError, LookupError or TypeError for anything else."""
        return cls(FunctionKey.parse(found["inbox"]), FunctionKey.parse(found["function"]))
