"""Events at times: `spec.source.schedule`.

| attribute | is |
| --- | --- |
| type | `dev.torpor.schedule` |
| source | `/namespaces/<namespace>/triggers/<name>` |
| subject | the Trigger's name |
| id | the Trigger's uid and the time, so that what two schedulers fire is one event |
| time | when it was meant to be, not when it was |
| data | `spec.source.schedule.data`; none without it |

A new Trigger, and one whose times were changed, begins with the times after it was first read.
Later on, times missed are made up for if they are no older than `catchUpSeconds`, at most the last
1,000 of them.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceWorld
from torpor.triggers.event import NO_DATA, Event, make_event
from torpor.triggers.sources.outstanding import Outstanding
from torpor.triggers.sources.settings import settings_of
from torpor.triggers.sources.timetable import Timetable, believed, due, read_timetable

_POSITION: Final = "fired"
_UNIX_SECONDS: Final = struct.Struct(">d")
_LONGEST_CATCH_UP_SECONDS: Final = 604_800
_LONGEST_SLEEP_SECONDS: Final = 30.0
"""So often the clock is looked at: it may have been set, and the machine may have slept."""
_SHORTEST_SLEEP_SECONDS: Final = 0.001


class ScheduleSource:
    """Fires at the times of one Trigger's timetable."""

    exclusive = True

    def __init__(
        self,
        trigger: Trigger,
        world: SourceWorld,
        timetable: Timetable,
        catch_up_seconds: float,
        data: Any,
    ) -> None:
        self._trigger = trigger
        self._world = world
        self._timetable = timetable
        self._which = repr(timetable).encode()
        self._catch_up_seconds = catch_up_seconds
        self._data = data

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield an event for each time as it comes, for ever.

        That one was stored is kept before the next is due, so that after a crash at most one comes
        again.
        """
        last = await self._begin()
        self._world.subscribed()
        while True:
            now = self._world.wall()
            last = believed(last, now)
            for instant in due(self._timetable, last, now, self._catch_up_seconds):
                last = instant
                outstanding = Outstanding(functools.partial(self._keep, instant))
                yield outstanding.received(self._event(instant))
                await outstanding.settle()
            await self._sleep(max(last, now))

    async def _begin(self) -> float:
        """Return the time that was acknowledged last; another timetable begins anew."""
        kept = await self._world.positions.get(self._trigger, _POSITION)
        if kept is not None and kept[_UNIX_SECONDS.size :] == self._which:
            (last,) = _UNIX_SECONDS.unpack_from(kept)
            return float(last)
        begins = self._timetable.begins(self._world.wall())
        await self._keep(begins)
        return begins

    async def _sleep(self, passed: float) -> None:
        coming = next(iter(self._timetable.times(passed)), None)
        left = _LONGEST_SLEEP_SECONDS if coming is None else coming - self._world.wall()
        await self._world.sleep(min(max(left, _SHORTEST_SLEEP_SECONDS), _LONGEST_SLEEP_SECONDS))

    async def _keep(self, instant: float) -> None:
        await self._world.positions.put(
            self._trigger, _POSITION, _UNIX_SECONDS.pack(instant) + self._which
        )

    def _event(self, instant: float) -> Event:
        key = self._trigger.key
        time = datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")
        return make_event(
            id=f"{self._trigger.uid}-{time}",
            source=f"/namespaces/{key.namespace}/triggers/{key.name}",
            type="dev.torpor.schedule",
            subject=key.name,
            time=time,
            data=NO_DATA if self._data is None else self._data,
        )


def open_source(trigger: Trigger, world: SourceWorld) -> ScheduleSource:
    """Return the source; SourceMisconfigured says what to write."""
    with settings_of(trigger) as found:
        return ScheduleSource(
            trigger,
            world,
            read_timetable(found),
            found.number("catchUpSeconds", 0, low=0, high=_LONGEST_CATCH_UP_SECONDS),
            found.raw("data"),
        )
