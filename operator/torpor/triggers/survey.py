"""What the controller is told of each Trigger in force: put together from who works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind, Trigger
from torpor.triggers.activity import Activity
from torpor.triggers.definitions import Definition, Definitions
from torpor.triggers.delivery.backlog import Backlog, Backlogs
from torpor.triggers.delivery.courier import CourierPhase
from torpor.triggers.delivery.deadletters import DeadLetters
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.intake import Phase
from torpor.triggers.intakes import Intakes
from torpor.triggers.router import Router
from torpor.triggers.standings import STARTING, SUBSCRIBED, Lags, Standing

INVALID = "InvalidTrigger"
_NO_BACKLOG = Backlog()
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

    async def standings(self) -> list[Standing]:
        """Return how each Trigger in force stands. Raises BrokerAway."""
        known = dict(self.definitions.known)
        backlogs = await self.backlogs.survey(known)
        dead = await self.dead_letters.counts()
        return [
            self._standing(definition, backlogs.get(key, _NO_BACKLOG), dead.get(key, 0))
            for key, definition in sorted(known.items())
        ]

    async def standing(self, definition: Definition) -> Standing:
        """Return how one Trigger stands, that was just put. Raises BrokerAway."""
        key = definition.trigger.key
        backlogs = await self.backlogs.survey({key: definition})
        dead = await self.dead_letters.counts()
        return self._standing(definition, backlogs.get(key, _NO_BACKLOG), dead.get(key, 0))

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

    def _standing(self, definition: Definition, backlog: Backlog, dead: int) -> Standing:
        trigger = definition.trigger
        trouble = None if trigger.suspended else self._trouble(trigger)
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
        )

    def _last(self, key: FunctionKey) -> float | None:
        state = self.intakes.state(key)
        times = (self.activity.last.get(key), state and state.last_event_seconds)
        return max((at for at in times if at), default=None)

    def _trouble(self, trigger: Trigger) -> _Trouble | None:
        key = trigger.key
        wrong = (
            self.intakes.problems.get(key)
            or self.router.problems().get(key)
            or self.deliveries.problems.get(key)
        )
        if wrong:
            return _Trouble(INVALID, wrong)
        return self._source_trouble(trigger) or self._delivery_trouble(key)

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
