"""One snapshot of all parts: asked at once, none waited for long, what is away stays as it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from torpor.dashboard.model import MOST_FUNCTIONS, MOST_LISTED, MOST_TRIGGERS, Snapshot
from torpor.dashboard.sources import Sources
from torpor.errors import TorporError

PART_SECONDS: Final = 3.0
_MOST: Final = {"functions": MOST_FUNCTIONS, "triggers": MOST_TRIGGERS}

_Part = Callable[[], Awaitable[Any]]

log = logging.getLogger(__name__)


class Gathering:
    """Makes snapshots of one place; `wall` is Unix time."""

    def __init__(self, sources: Sources, wall: Callable[[], float]) -> None:
        self._sources = sources
        self._wall = wall
        self._known: dict[str, Any] = {}
        self._defects: dict[str, str] = {}
        self._parts: Mapping[str, _Part] = {
            "functions": sources.functions,
            "executions": sources.executions,
            "runs": sources.runs,
            "triggers": sources.triggers,
            "bus": sources.bus,
            "cost": sources.cost,
            "traces": sources.traces,
        }

    async def snapshot(self) -> Snapshot:
        """Return how everything is now."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._look(name, part), name=f"look at {name}")
                for name, part in self._parts.items()
            ]
        return Snapshot(
            at=round(self._wall(), 3),
            place=self._sources.place,
            problem="; ".join(filter(None, (task.result() for task in tasks))),
            **self._known,
        )

    async def _look(self, name: str, part: _Part) -> str:
        """Remember a part; what is wrong with it, if anything is."""
        try:
            async with asyncio.timeout(PART_SECONDS):
                found = await part()
        except TimeoutError:
            return f"{name}: no answer within {PART_SECONDS:g} s"
        except TorporError as error:
            return f"{name}: {error}"
        except Exception as defect:  # a page must not end what it shows, such as `torpor dev`
            return self._defect(name, defect)
        bounded = found if name == "cost" else tuple(found[: _MOST.get(name, MOST_LISTED)])
        self._known[name] = bounded
        self._defects.pop(name, None)
        return ""

    def _defect(self, name: str, defect: Exception) -> str:
        """Have the log tell where it is: once, not with each snapshot."""
        text = f"{name}: a defect of the dashboard, which the log tells of: {defect!r}"
        if self._defects.get(name) != text:
            self._defects[name] = text
            log.error("a part cannot be shown", exc_info=defect, extra={"fields": {"part": name}})
        return text
