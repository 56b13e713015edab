"""What a fault did, as it is told to the person who asked for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, what was lost by it, and where to watch what comes of it: sentences."""

    did: str
    lost: str
    watch: str


def tell(outcome: Outcome) -> int:
    """Print it, and return the exit status."""
    print(f"did:    {outcome.did}\nlost:   {outcome.lost}\nwatch:  {outcome.watch}")
    return 0
