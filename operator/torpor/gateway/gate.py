"""One function that is awake, waking or parked: the state machine between its requests and lane.

Level-triggered: inputs (requests, instances, terms, parking, loads) change facts; `run` compares
what the facts call for with what the data plane was last brought to, and acts on the difference.
A gate exists only while there is something to do; a function asleep has none.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from enum import Enum
from random import Random

from torpor.errors import ApiNotFound, DataPlaneError
from torpor.gateway import parking, refusals
from torpor.gateway.announcements import Announcements, Endpoint
from torpor.gateway.coldstart import ColdStarts
from torpor.gateway.dataplane.base import DataPlane, Go, Lane, LaneLoad, Refused
from torpor.gateway.episode import Episode
from torpor.gateway.holdqueue import HoldQueue, Verdict
from torpor.gateway.lane import LaneKeeper
from torpor.gateway.parking import Parking
from torpor.gateway.probe import Prober, Probes
from torpor.gateway.roster import Roster
from torpor.gateway.sampling import PACED_SECONDS, SAMPLE_SECONDS, Sampler
from torpor.gateway.tally import EMPTY, Tally
from torpor.gateway.terms import Terms
from torpor.gateway.wake import Waker
from torpor.platform.base import Instance, Platform
from torpor.resources.load import FunctionLoad, ParkAnswer
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics

HOME_SECONDS = 2.0
"""How long a request may wait for the gateways to agree where its function's home is."""
LOOK_SECONDS = 1.0
"""How long a function that could not start is looked at again before the next refusal."""
_SHOWS_SECONDS = 0.02
_GO = Go(None)


class State(Enum):
    """What a function is doing, as this gateway sees it."""

    ASLEEP = "Asleep"
    WAKING = "Waking"
    AWAKE = "Awake"
    PARKED = "Parked"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all gates of a gateway share."""

    platform: Platform
    plane: DataPlane
    prober: Prober
    random: Random
    announcements: Announcements
    cold_starts: ColdStarts
    sampler: Sampler


@dataclass(frozen=True, slots=True)
class Part:
    """What falls to this gateway of a function: its terms, its share of the limit (0: none).

    `local` is False when another gateway is the function's home and this one only forwards.
    """

    terms: Terms
    share: int
    local: bool


class Gate:
    """The request path's view of one function; all methods belong to the event loop's thread."""

    def __init__(self, key: FunctionKey, part: Part, tally: Tally, around: Surroundings) -> None:
        self.key = key
        self._part = part
        self.tally = tally
        self._around = around
        self._clock = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._queue = HoldQueue(self._expired, part.terms.hold_seconds)
        self._roster = Roster(lambda endpoint: around.announcements.drop(key, endpoint))
        self._lane = LaneKeeper(key, around.plane)
        self._probes = Probes(around.prober, self._connected)
        self._waker = Waker(key, around.platform, around.random)
        self._parking = Parking()
        self._episode = Episode(key, around.cold_starts)
        self._waking: asyncio.Task[None] | None = None
        self._starving = False
        self._passing = False
        self._deleted = False
        self._drained = False
        self._adopted = False
        self._load: LaneLoad = EMPTY
        self._load_at = -math.inf
        self._released = 0
        self._released_at = -math.inf
        self._refuse_until = -math.inf
        self._look_until = -math.inf

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
        return FunctionLoad(
            in_flight=self._load.in_flight,
            queued=self._load.queued,
            held=len(self._queue),
            concurrency_seconds=self.tally.concurrency_seconds,
            requests=self.tally.requests,
            instances=self._roster.by_instance(self._load.instances),
        )

    @property
    def pace_seconds(self) -> float:
        """How often the load must be read for this function."""
        hurried = self._parking or (self._queue and self._passing) or self._is_draining()
        return PACED_SECONDS if hurried else SAMPLE_SECONDS

    @property
    def is_finished(self) -> bool:
        """Whether `run` has nothing left to do."""
        busy = self._queue or self._parking or (self._roster.live and not self._deleted)
        return not busy and self._lane.is_done(None)

    # What happens to it

    async def hold(self) -> Verdict:
        """Wait for the verdict on one request."""
        if self._passing and not self._queue:
            return _GO
        verdict = self._refusal_at_once() or await self._wait()
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
        self._part, self._deleted = part, False
        self._queue.waits(part.terms.hold_seconds)
        self._reconsider()

    def delete(self) -> None:
        """Take in that the function is no more."""
        self._deleted = True
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
        if not self._deleted:
            self.tally.add(load, len(self._queue), seconds)
        self._load, self._load_at = load, asked_at
        if asked_at >= self._released_at + _SHOWS_SECONDS:
            self._released = 0
        if self._queue or self._adopted or self._is_draining():
            self._changed.set()

    async def park(self) -> ParkAnswer:
        """Hold new requests from now on; return what is left after at most `DRAIN_SECONDS`.

        DataPlaneError if the data plane could not be brought to it: then nothing is parked.
        """
        self._parking.begin(self._clock())
        self._reconsider()
        try:
            await self._drain()
        except DataPlaneError:
            self.settle_open()
            raise
        return ParkAnswer(self._load.in_flight, self._load.queued, len(self._queue))

    def settle_open(self) -> None:
        """End the parking: the instances serve on."""
        self._parking.end()
        self._reconsider()

    def settle_zero(self) -> None:
        """End the parking: the function was scaled to zero, its instances are ending."""
        self._parking.end()
        self._roster.retire(self._clock())
        self._around.announcements.forget(self.key)
        self._drained = True
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
            if self._waking is not None:
                self._waking.cancel()

    async def _advance(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock()
        self._parking.end_if_overdue(now)
        self._look_at(self._roster.instances)
        self._settle_home(now)
        self._refuse_the_hopeless(now)
        self._keep_waking(tasks)
        self._keep_probing(tasks, now)
        wanted = self._wanted()
        self._passing = self._passing and self._lane.passes(wanted)
        await self._lane.bring(wanted)
        self._passing = self._lane.passes(self._wanted())
        self._release()

    async def _pause(self) -> None:
        now = self._clock()
        told = self._around.announcements.of(self.key)
        moments = (
            self._parking.ends_at,
            self._look_until,
            self._lane.retry_at,
            self._adopts_at(),
            self._roster.changes_at(told, now),
        )
        due = min((moment for moment in moments if moment > now), default=math.inf)
        try:
            async with asyncio.timeout_at(None if math.isinf(due) else due):
                await self._changed.wait()
        except TimeoutError:
            return

    # What the facts call for

    def _wanted(self) -> Lane | None:
        if self._deleted or not (self._part.local or self._adopted):
            return None
        terms = self._part.terms
        servers = self._roster.servers(self._part.share, h2c=terms.h2c)
        applied = self._lane.applied
        if self._parking:
            keep = servers or applied is not None
            return Lane(False, servers, terms.timeout_seconds) if keep else None
        if servers:
            return Lane(True, servers, terms.timeout_seconds)
        if applied is None or self._drained or self._has_drained():
            return None
        return Lane(False, (), terms.timeout_seconds)

    def _is_draining(self) -> bool:
        applied = self._lane.applied
        return applied is not None and not applied.open

    def _has_drained(self) -> bool:
        fresh = self._is_draining() and self._load_at >= self._lane.applied_at
        return fresh and not self._load.in_flight + self._load.queued

    def _is_starving(self) -> bool:
        if self._parking or self._deleted or not (self._part.local or self._adopted):
            return False
        stranded = self._is_draining() and self._load.queued > 0
        return bool(self._queue or stranded) and not self._roster.endpoints()

    def _adopts_at(self) -> float:
        oldest = self._queue.oldest
        if self._part.local or self._adopted or oldest is None:
            return math.inf
        return oldest + HOME_SECONDS

    # What is done about it

    def _reconsider(self) -> None:
        self._passing = self._passing and self._lane.passes(self._wanted())
        self._changed.set()

    def _look_at(self, instances: tuple[Instance, ...]) -> None:
        told = self._around.announcements.of(self.key)
        self._roster.refresh(instances, told, self._clock())
        if self._roster.endpoints():
            self._drained = False

    def _connected(self, endpoint: Endpoint) -> None:
        self._roster.connected(endpoint, self._clock())
        self._reconsider()

    def _settle_home(self, now: float) -> None:
        if now >= self._adopts_at():
            self._adopted = True
            return
        empty = not self._queue and not self._load.in_flight + self._load.queued
        if self._part.local or (empty and self._load_at > self._released_at + _SHOWS_SECONDS):
            self._adopted = False

    def _keep_waking(self, tasks: asyncio.TaskGroup) -> None:
        starving = self._is_starving()
        if starving and not self._starving:
            self._waker.begin()
        self._starving = starving
        if starving and (self._waking is None or self._waking.done()):
            name = f"wake {self.key}"
            self._waking = tasks.create_task(self._waker.run(self._is_starving), name=name)

    def _keep_probing(self, tasks: asyncio.TaskGroup, now: float) -> None:
        within = math.inf if self._queue else self._part.terms.startup_seconds
        self._probes.keep(self._roster.to_probe(now, within), tasks)

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

    def _refusal_at_once(self) -> Refused | None:
        blocked = self._part.terms.blocked
        if blocked is not None and not self._roster.endpoints():
            return refusals.cannot_start(self.key, blocked)
        trouble, now = self._roster.hopeless(), self._clock()
        if trouble is not None and now < self._refuse_until:
            return refusals.cannot_start(self.key, trouble)
        if trouble is not None and not self._queue and not math.isinf(self._refuse_until):
            self._look_until = now + LOOK_SECONDS
        most = self._part.terms.hold_requests
        return refusals.full(self.key, most) if len(self._queue) >= most else None

    def _refuse_the_hopeless(self, now: float) -> None:
        trouble = self._roster.hopeless()
        if trouble is None or not self._queue or self._parking or now < self._look_until:
            return
        self._refuse_until = now + refusals.TROUBLE_SECONDS
        self._episode.fail(trouble.reason)
        self._queue.refuse_all(refusals.cannot_start(self.key, trouble))

    def _expired(self) -> Refused:
        """Return the refusal for those who waited as long as they may."""
        trouble = self._roster.trouble() or self._part.terms.blocked
        api = self._waker.problem
        if trouble is not None:
            self._episode.fail(trouble.reason)
            return refusals.cannot_start(self.key, trouble)
        if api is not None and not isinstance(api, ApiNotFound):
            self._episode.fail("api-unavailable")
            return refusals.api_away(self.key, api)
        if self._lane.problem is not None:
            return refusals.plane_away(self.key, self._lane.problem)
        self._episode.fail("hold-timeout")
        return refusals.timed_out(self.key, self._part.terms.hold_seconds)

    def _release(self) -> None:
        count = self._room() if self._passing else 0
        if count <= 0:
            return
        now = self._clock()
        cold = self._episode.succeed(self._waker.answered_at, self._roster.started(), now)
        self._queue.release(Go(round(cold.total_ms)) if cold else _GO)
        for _ in range(count - 1):
            self._queue.release(_GO)
        self._released += count
        self._released_at = now

    def _room(self) -> int:
        """Return how many may be let through; a hard limit is paced by the data plane itself."""
        if self._part.share:
            return len(self._queue)
        most = self._part.terms.target * len(self._roster.endpoints())
        there = self._load.in_flight + self._load.queued + self._released
        return min(len(self._queue), most - there)

    async def _drain(self) -> None:
        """Wait until nothing is left inside, something waits outside, or the time is up."""
        try:
            async with asyncio.timeout(parking.DRAIN_SECONDS):
                while not self._queue and not self._is_empty():
                    await self._around.sampler.next()
        except TimeoutError:
            pass
        left = len(self._queue) + self._load.in_flight + self._load.queued
        if not left and not self._is_empty():
            raise DataPlaneError(f"{self.key}: it could not be seen in time that it is drained")

    def _is_empty(self) -> bool:
        fresh = self._lane.is_closed and self._load_at >= self._lane.applied_at
        quiet = self._clock() >= self._released_at + parking.QUIET_SECONDS
        return fresh and quiet and not self._load.in_flight + self._load.queued
