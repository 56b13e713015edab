"""The sources of all Triggers in force: one intake each, begun and ended as definitions change.

Level-triggered, as the deliveries. `heed` is to listen to the definitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.base import OpenSource, SourceWorld
from torpor.triggers.definitions import Definition
from torpor.triggers.inbox import entrance
from torpor.triggers.intake import Intake, IntakeParts, IntakeState

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Running:
    trigger: Trigger
    intake: Intake
    task: asyncio.Task[None]


class Intakes:
    """Reads the source of every Trigger that is in force and not suspended."""

    def __init__(
        self, sources: Mapping[SourceKind, OpenSource], world: SourceWorld, parts: IntakeParts
    ) -> None:
        self._sources = sources
        self._world = world
        self._parts = parts
        self._wanted: dict[FunctionKey, Trigger] = {}
        self._running: dict[FunctionKey, _Running] = {}
        self._problems: dict[FunctionKey, str] = {}
        self._changed = asyncio.Event()

    @property
    def problems(self) -> Mapping[FunctionKey, str]:
        """Why the sources of Triggers cannot be read at all."""
        return MappingProxyType(self._problems)

    def state(self, key: FunctionKey) -> IntakeState | None:
        """Return what the intake of a Trigger is doing; None where there is none."""
        found = self._running.get(key)
        return None if found is None else found.intake.state

    def reads(self, kind: SourceKind) -> bool:
        """Return whether sources of this kind are read here; the others come by themselves."""
        return kind in self._sources

    def heed(self, key: FunctionKey, definition: Definition | None) -> None:
        """Take note of a Trigger; those of requests, buses and queues have nothing to read."""
        trigger = None if definition is None else definition.trigger
        if trigger is None or trigger.suspended or trigger.source.kind not in self._sources:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = trigger
        self._changed.set()

    async def run(self) -> None:
        """Read, for ever; what is not stored at a cancellation comes again."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                await self._end_others()
                for key, trigger in self._wanted.items():
                    if key not in self._running:
                        self._begin(key, trigger, tasks)
                await self._changed.wait()

    async def _end_others(self) -> None:
        """An intake has let go of its source before the next one of its Trigger begins."""
        ended: list[asyncio.Task[None]] = []
        for key, running in tuple(self._running.items()):
            wanted = self._wanted.get(key)
            if wanted is None or not _same(wanted, running.trigger):
                running.task.cancel()
                ended.append(running.task)
                del self._running[key]
        for key in self._problems.keys() - self._wanted.keys():
            del self._problems[key]
        if ended:
            await asyncio.wait(ended)

    def _begin(self, key: FunctionKey, trigger: Trigger, tasks: asyncio.TaskGroup) -> None:
        try:
            way_in = entrance(trigger)
        except (TorporError, ValueError) as error:
            self._problems[key] = str(error)
            return
        self._problems.pop(key, None)
        opened = self._sources[trigger.source.kind]
        intake = Intake(way_in, opened, self._world, self._parts)
        task = tasks.create_task(intake.run(), name=f"intake {key}")
        self._running[key] = _Running(trigger, intake, task)


def _same(one: Trigger, other: Trigger) -> bool:
    """Whether two Triggers are read alike: their status is not looked at."""
    return replace(one, status=_NOTHING, generation=0) == replace(
        other, status=_NOTHING, generation=0
    )
