"""What the controller is told of each Trigger in force: put together from who works on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind, Trigger
from torpor.triggers.activity import Activity
from torpor.triggers.broker import names
from torpor.triggers.broker.room import Room
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definition, Definitions
from torpor.triggers.delivery.backlog import Backlog, Backlogs
from torpor.triggers.delivery.courier import CourierPhase
from torpor.triggers.delivery.deadletters import DeadLetters
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.idle import IdleInbox
from torpor.triggers.intake import Phase
from torpor.triggers.intakes import Intakes
from torpor.triggers.lags import Lags
from torpor.triggers.router import Router
from torpor.triggers.standings import STARTING, SUBSCRIBED, Standing
from torpor.triggers.unrouted import unrouted

INVALID = "InvalidTrigger"
STORE_FULL = "StoreFull"
_DELIVERY_REASONS: Mapping[CourierPhase, str] = {
    CourierPhase.ABSENT: "TargetMissing",
    CourierPhase.OPEN: "CircuitOpen",
    CourierPhase.PROBLEM: "BrokerAway",
}


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why events do not arrive."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Who is asked."""

    definitions: Definitions
    intakes: Intakes
    router: Router
    deliveries: Deliveries
    backlogs: Backlogs
    dead_letters: DeadLetters
    activity: Activity
    streams: Streams
    room: Callable[[], Room]

    async def standings(self) -> list[Standing]:
        """Return how each Trigger in force stands. Raises BrokerAway."""
        known = self.definitions.known.items()
        return await self._standings({key: each for key, each in known if each.implied is None})

    async def standing(self, definition: Definition) -> Standing:
        """Return how one Trigger stands, that was just put. Raises BrokerAway."""
        (found,) = await self._standings({definition.trigger.key: definition})
        return found

    async def lags(self) -> Lags:
        """Return what could be delivered to Functions now. Raises BrokerAway."""
        known = dict(self.definitions.known)
        found: dict[FunctionKey, dict[str, float]] = {}
        for key, backlog in (await self.backlogs.survey(known)).items():
            target = known[key].trigger.target
            if backlog.lag and target.kind is TargetKind.FUNCTION:
                function = FunctionKey(key.namespace, target.name)
                found.setdefault(function, {})[key.name] = float(backlog.lag)
        return found

    async def idle_calls(self) -> list[IdleInbox]:
        """Return the implied inboxes of which nothing is left to do. Raises BrokerAway."""
        known = dict(self.definitions.known)
        called = {key: each for key, each in known.items() if each.implied is not None}
        dead = await self.dead_letters.counts()
        return [
            IdleInbox(key, FunctionKey(key.namespace, implied.function))
            for key, backlog in (await self.backlogs.survey(called)).items()
            if backlog == Backlog() and not dead.get(key)
            if (implied := called[key].implied) is not None
        ]

    async def _standings(self, known: Mapping[FunctionKey, Definition]) -> list[Standing]:
        backlogs = await self.backlogs.survey(known)
        behind = await unrouted(self.streams, known)
        dead = await self.dead_letters.counts()
        return [
            self._standing(definition, backlogs[key].put_off(behind.get(key, 0)), dead.get(key, 0))
            for key, definition in sorted(known.items())
        ]

    def _standing(self, definition: Definition, backlog: Backlog, dead: int) -> Standing:
        trigger = definition.trigger
        trouble = None if trigger.suspended else self._trouble(definition)
        return Standing(
            key=trigger.key,
            uid=trigger.uid,
            generation=trigger.generation,
            subscribed=trouble is None,
            reason=SUBSCRIBED if trouble is None else trouble.reason,
            message="" if trouble is None else trouble.message,
            lag=backlog.lag,
            waiting=backlog.waiting,
            dead_letters=dead,
            last_event_at=self._last(trigger.key),
            suspended=trigger.suspended,
        )

    def _last(self, key: FunctionKey) -> float | None:
        state = self.intakes.state(key)
        times = (self.activity.last.get(key), state and state.last_event_seconds)
        return max((at for at in times if at), default=None)

    def _trouble(self, definition: Definition) -> _Trouble | None:
        trigger, key = definition.trigger, definition.trigger.key
        wrong = (
            self.intakes.problems.get(key)
            or self.router.problems().get(key)
            or self.deliveries.problems.get(key)
        )
        if wrong:
            return _Trouble(INVALID, wrong)
        return (
            self._room_trouble(definition)
            or self._source_trouble(trigger)
            or self._delivery_trouble(key)
        )

    def _room_trouble(self, definition: Definition) -> _Trouble | None:
        """Nothing new is taken, or a bus cannot hand on what it took."""
        room, bus, queue = self.room(), definition.bus, definition.queue
        trigger = definition.trigger
        way_in = names.inbox_subject(trigger.key.namespace, trigger.key.name)
        if queue is not None:
            way_in = names.queue_subject(*queue)
        if full := room.refusal(way_in) or (bus and room.refusal(names.bus_subject(*bus))):
            return _Trouble(STORE_FULL, full)
        failure = self.router.failure(bus) if bus else None
        return None if failure is None else _Trouble(_camel(failure.code), str(failure))

    def _source_trouble(self, trigger: Trigger) -> _Trouble | None:
        if not self.intakes.reads(trigger.source.kind):
            return None
        state = self.intakes.state(trigger.key)
        if state is not None and state.phase in (Phase.SUBSCRIBED, Phase.STANDBY):
            return None
        if state is None or state.phase is Phase.STARTING:
            return _Trouble(STARTING, "the source is being connected to")
        return _Trouble(_camel(state.reason), state.problem)

    def _delivery_trouble(self, key: FunctionKey) -> _Trouble | None:
        state = self.deliveries.state(key)
        if state is None or state.phase is CourierPhase.DELIVERING:
            return None
        return _Trouble(_DELIVERY_REASONS[state.phase], state.problem)


def _camel(code: str) -> str:
    """An error's code as the reason of a condition: `source-away` is `SourceAway`."""
    return "".join(word.capitalize() for word in code.split("-")) or "SourceAway"
