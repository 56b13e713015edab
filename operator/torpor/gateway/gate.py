"""One function that is awake, waking or parked: the state machine between its requests and lane.

Level-triggered: inputs (requests, instances, terms, parking, loads) change facts; `run` compares
what the facts call for with what the data plane was last brought to, and acts on the difference.
A gate exists only while there is something to do; a function asleep has none.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum

from torpor.errors import DataPlaneError
from torpor.gateway import refusals
from torpor.gateway.adoption import Adoption
from torpor.gateway.announcements import Endpoint
from torpor.gateway.dataplane.base import LaneLoad, Refused
from torpor.gateway.episode import Episode
from torpor.gateway.holdqueue import HoldQueue, Verdict
from torpor.gateway.inside import Inside
from torpor.gateway.lane import LaneKeeper
from torpor.gateway.needs import Needs
from torpor.gateway.pace import Pacer
from torpor.gateway.parking import Parking, drain
from torpor.gateway.probe import Probes
from torpor.gateway.refusing import Evidence, Refusing
from torpor.gateway.releasing import GO, Releaser
from torpor.gateway.roster import Roster
from torpor.gateway.sampling import PACED_SECONDS, SAMPLE_SECONDS
from torpor.gateway.surroundings import Surroundings
from torpor.gateway.tally import Tally
from torpor.gateway.terms import Part
from torpor.gateway.wake import Waker
from torpor.platform.base import Instance
from torpor.resources.load import FunctionLoad, ParkAnswer
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics


class State(Enum):
    """What a function is doing, as this gateway sees it."""

    ASLEEP = "Asleep"
    WAKING = "Waking"
    AWAKE = "Awake"
    PARKED = "Parked"


class Gate:
    """The request path's view of one function; all methods belong to the event loop's thread."""

    def __init__(self, key: FunctionKey, part: Part, tally: Tally, around: Surroundings) -> None:
        self.key = key
        self.tally = tally
        self._around = around
        self._clock = asyncio.get_running_loop().time
        self._looked_at = -math.inf
        self._changed = asyncio.Event()
        self._queue = HoldQueue(
            lambda: self._refusing.expired(self._needs.part.terms),
            part.terms.hold_seconds,
            self._changed.set,
        )
        self._roster = Roster(lambda endpoint: around.announcements.drop(key, endpoint))
        self._lane = LaneKeeper(key, around.plane)
        pacer = Pacer()
        self._inside = Inside(self._lane, pacer)
        self._parking = Parking()
        self._adoption = Adoption()
        self._needs = Needs(
            part, self._queue, self._roster, self._lane, self._inside, self._parking, self._adoption
        )
        self._probes = Probes(around.prober, self._connected)
        self._waker = Waker(key, around.platform, around.random, self._needs.instances)
        self._episode = Episode(key, around.cold_starts)
        self._releaser = Releaser(
            self._queue, pacer, self._inside, self._roster, self._waker, self._episode
        )
        self._refusing = Refusing(
            Evidence(key, self._roster, self._probes, self._waker, self._lane, self._episode)
        )
        self._passing = False

    # What can be asked

    @property
    def state(self) -> State:
        """The function's state now."""
        if self._parking:
            return State.PARKED
        if self._passing:
            return State.AWAKE
        return State.WAKING if self._queue or self._roster.live else State.ASLEEP

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The function's instances as the platform last told them."""
        return self._roster.instances

    @property
    def usable(self) -> tuple[Endpoint, ...]:
        """Where instances are that take requests."""
        return self._roster.endpoints()

    @property
    def problem(self) -> str | None:
        """Why the data plane is not as it should be; None if it is."""
        return self._lane.problem

    @property
    def load(self) -> FunctionLoad:
        """What is present of the function, as of the last reading."""
        inside = self._inside.load
        return FunctionLoad(
            in_flight=inside.in_flight,
            queued=inside.queued,
            held=len(self._queue),
            concurrency_seconds=self.tally.concurrency_seconds,
            requests=self.tally.requests,
            instances=self._roster.by_instance(inside.instances),
        )

    @property
    def pace_seconds(self) -> float:
        """How often the load must be read for this function."""
        hurried = self._parking or (self._queue and self._passing) or self._lane.is_draining
        return PACED_SECONDS if hurried else SAMPLE_SECONDS

    @property
    def is_finished(self) -> bool:
        """Whether `run` has nothing left to do."""
        busy = self._queue or self._parking or (self._roster.live and not self._needs.deleted)
        return not busy and self._lane.is_done(None)

    # What happens to it

    async def hold(self) -> Verdict:
        """Wait for the verdict on one request."""
        if self._passing and not self._queue:
            return GO
        refused = self._refusing.at_once(self._needs.part.terms, len(self._queue), self._clock())
        verdict = refused or await self._wait()
        if isinstance(verdict, Refused):
            metrics.REFUSED.labels(verdict.code).inc()
        return verdict

    def told(self, instances: tuple[Instance, ...]) -> None:
        """Take in the function's instances, all of them, as they are."""
        self._look_at(instances)
        self._reconsider()

    def announced(self) -> None:
        """Take in that an instance announced itself."""
        self.told(self._roster.instances)

    def agree(self, part: Part) -> None:
        """Take in changed terms or another share."""
        self._needs.part, self._needs.deleted = part, False
        self._queue.waits(part.terms.hold_seconds)
        self._reconsider()

    def delete(self) -> None:
        """Take in that the function is no more."""
        self._needs.deleted = True
        self._parking.end()
        self._queue.refuse_all(refusals.unknown(self.key))
        self._reconsider()

    def stop(self) -> None:
        """Refuse all who wait: the gateway ends."""
        self._queue.refuse_all(refusals.stopping())
        self.close()

    def close(self) -> None:
        """Let go of its timer; nobody waits any more."""
        self._queue.close()

    def sampled(self, load: LaneLoad, asked_at: float, seconds: float) -> None:
        """Take in the data plane's load, read at `asked_at`, `seconds` after the last time."""
        if not self._needs.deleted:
            self.tally.add(load, len(self._queue), seconds)
        self._inside.take(load, asked_at)
        if self._queue or self._adoption or self._lane.is_draining:
            self._changed.set()

    async def park(self) -> ParkAnswer:
        """Hold new requests from now on; return what is left after at most `DRAIN_SECONDS`.

        DataPlaneError if the data plane could not be brought to it: then nothing is parked.
        """
        self._parking.begin(self._clock())
        self._reconsider()
        try:
            return await drain(self._inside, self._queue, self._around.sampler)
        except DataPlaneError:
            self.settle_open()
            raise

    def settle_open(self) -> None:
        """End the parking: the instances serve on."""
        self._parking.end()
        self._reconsider()

    def settle_zero(self) -> None:
        """End the parking: the function was scaled to zero, its instances are ending."""
        self._parking.end()
        self._roster.retire(self._clock())
        self._around.announcements.forget(self.key)
        self._needs.drained = True
        if self._queue.oldest is not None:
            self._episode.begin(self._queue.oldest)
        self._reconsider()

    # The loop

    async def run(self) -> None:
        """Keep the data plane at what the facts call for, until nothing is left to do."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                await self._advance(tasks)
                if self.is_finished:
                    break
                await self._pause()
            self._probes.keep((), tasks)
            self._waker.stop()

    async def _advance(self, tasks: asyncio.TaskGroup) -> None:
        now = self._looked_at = self._clock()
        self._parking.end_if_overdue(now)
        self._look_at(self._roster.instances)
        self._needs.settle(now)
        self._refuse_the_hopeless(now)
        self._waker.keep(tasks)
        self._keep_probing(tasks, now)
        wanted = self._needs.wanted()
        self._passing = self._passing and self._lane.passes(wanted)
        await self._lane.bring(wanted)
        self._passing = self._lane.passes(self._needs.wanted())
        if self._passing:
            self._releaser.release(self._needs.part, self._clock())
        else:
            self._releaser.rest()

    async def _pause(self) -> None:
        now = self._clock()
        moments = (
            self._parking.ends_at,
            self._refusing.look_until,
            self._lane.retry_at,
            self._needs.adopts_at,
            self._releaser.next_at(now) if self._passing else math.inf,
            self._roster.changes_at(self._around.announcements.of(self.key), now),
        )
        # What came due since the facts were looked at is due now, not past.
        due = min((moment for moment in moments if moment > self._looked_at), default=math.inf)
        try:
            async with asyncio.timeout_at(None if math.isinf(due) else due):
                await self._changed.wait()
        except TimeoutError:
            return

    # What is done about it

    def _reconsider(self) -> None:
        self._passing = self._passing and self._lane.passes(self._needs.wanted())
        self._changed.set()

    def _look_at(self, instances: tuple[Instance, ...]) -> None:
        self._roster.refresh(instances, self._around.announcements.of(self.key), self._clock())
        if self._roster.endpoints():
            self._needs.drained = False

    def _connected(self, endpoint: Endpoint) -> None:
        self._roster.connected(endpoint, self._clock())
        self._reconsider()

    def _keep_probing(self, tasks: asyncio.TaskGroup, now: float) -> None:
        terms = self._needs.part.terms
        within = math.inf if self._queue else terms.startup_seconds
        wanted = self._roster.to_probe(now, within) if terms.is_probed_by_port else ()
        self._probes.keep(wanted, tasks)

    async def _wait(self) -> Verdict:
        if not self._queue:
            self._begin_episode()
        self._changed.set()
        return await self._queue.wait()

    def _begin_episode(self) -> None:
        if self._parking or self._roster.endpoints():
            self._episode.cancel()
            return
        self._episode.begin(self._clock())

    def _refuse_the_hopeless(self, now: float) -> None:
        waits = self._queue and not self._parking
        if waits and (refused := self._refusing.hopeless(self._needs.part.terms, now)):
            self._queue.refuse_all(refused)
