"""The events of one execution, each once, also while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from torpor.workflows.client import StepFunctions

LOOK_SECONDS = 0.25
"""How soon an execution is looked at again; later each time that nothing happened."""
_LONGEST_SECONDS = 1.0
_PAGE = 1_000
_ENDS = frozenset(f"Execution{word}" for word in ("Succeeded", "Failed", "TimedOut", "Aborted"))


class Events:
    """Reads GetExecutionHistory from where it was left."""

    def __init__(self, api: StepFunctions, execution: str) -> None:
        self._api = api
        self._execution = execution
        self._seen = 0
        self.start: float | None = None
        self.ended = False

    async def new(self) -> AsyncIterator[dict[str, Any]]:
        """The events that were not given yet, oldest first."""
        for event in await (self._all() if self._seen == 0 else self._tail()):
            self._seen = event["id"]
            self.start = event["timestamp"] if self.start is None else self.start
            self.ended = event["type"] in _ENDS
            yield event

    async def until_end(self) -> AsyncIterator[dict[str, Any]]:
        """The events as they happen, up to the one that ends the execution."""
        pause = LOOK_SECONDS
        while True:
            before = self._seen
            async for event in self.new():
                yield event
            if self.ended:
                return
            pause = LOOK_SECONDS if self._seen > before else min(2 * pause, _LONGEST_SECONDS)
            await asyncio.sleep(pause)

    async def _all(self) -> list[dict[str, Any]]:
        pages = self._api.each(
            "GetExecutionHistory", "events", executionArn=self._execution, maxResults=_PAGE
        )
        return [event async for event in pages]

    async def _tail(self) -> list[dict[str, Any]]:
        """What came after the events seen: read from the newest back to them."""
        found: list[dict[str, Any]] = []
        async for event in self._api.each(
            "GetExecutionHistory",
            "events",
            executionArn=self._execution,
            maxResults=100,
            reverseOrder=True,
        ):
            if event["id"] <= self._seen:
                break
            found.append(event)
        return found[::-1]
