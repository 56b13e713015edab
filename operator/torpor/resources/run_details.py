"""A run with all that is told of it only to who asks for it by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torpor.resources.run import Run


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """One pod or process of a run; `where` is its node, `how` tells its state in words."""

    index: int
    number: int
    where: str
    how: str


@dataclass(frozen=True, slots=True)
class RunDetails:
    """`input` is what the run was started with; `attempts` are those that are known of."""

    run: Run
    attempts: tuple[RunAttempt, ...]
    input: str

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "run": self.run.to_json(),
            "input": self.input,
            "attempts": [
                {"index": one.index, "attempt": one.number, "where": one.where, "how": one.how}
                for one in self.attempts
            ],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; LookupError, TypeError or ValueError for anything else."""
        attempts = (
            RunAttempt(int(one["index"]), int(one["attempt"]), str(one["where"]), str(one["how"]))
            for one in found["attempts"]
        )
        return cls(Run.from_json(found["run"]), tuple(attempts), str(found["input"]))
