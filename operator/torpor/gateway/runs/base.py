"""Whoever keeps runs, as the gateway's door asks it: the controller, or `torpor dev` itself."""

from __future__ import annotations

from typing import Protocol

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run, RunRequest


class RunsAway(TorporError):
    """Nobody that keeps runs answers: try again."""

    code = "runs-unavailable"


class Runs(Protocol):
    """Every method may raise RunsAway."""

    async def start(self, request: RunRequest) -> str:
        """Start the run, or find the one that there is under this key; return its id.

        Raises UnknownFunction, or RunRefused: above reservedConcurrency with 429, or when it
        cannot be made.
        """
        ...

    async def named(self, key: FunctionKey, idempotency_key: str) -> str:
        """Return the id of the run that there is under this key, and make none.

        Raises UnknownFunction or UnknownRun.
        """
        ...

    async def find(self, namespace: str, run: str, wait_seconds: float) -> Run:
        """Return the run, at the latest after `wait_seconds`, sooner once it is final.

        Raises UnknownRun.
        """
        ...

    async def cancel(self, namespace: str, run: str) -> None:
        """Have the run end; nothing happens to one that has ended. Raises UnknownRun."""
        ...


class NoRuns:
    """An installation that keeps no runs; `remedy` says what to do about it."""

    def __init__(
        self, remedy: str = "set TORPOR_RUNS_URL to the controllers' internal API"
    ) -> None:
        self._remedy = remedy

    async def start(self, request: RunRequest) -> str:
        """Refuse."""
        raise self._away(request.key.namespace)

    async def named(self, key: FunctionKey, idempotency_key: str) -> str:
        """Refuse."""
        del idempotency_key
        raise self._away(key.namespace)

    async def find(self, namespace: str, run: str, wait_seconds: float) -> Run:
        """Refuse."""
        del run, wait_seconds
        raise self._away(namespace)

    async def cancel(self, namespace: str, run: str) -> None:
        """Refuse."""
        del run
        raise self._away(namespace)

    def _away(self, namespace: str) -> RunsAway:
        return RunsAway(f"nobody keeps runs of {namespace}: {self._remedy}")
