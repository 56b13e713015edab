"""Takes executions into memory, keeps their timers and effects in step with them, lets them go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from torpor.telemetry.metrics import WORKFLOW_STARTED
from torpor.workflows.asl.events import (
    ActivityStarted,
    Effect,
    HeartbeatSeen,
    Input,
    Start,
    TaskSubmitted,
)
from torpor.workflows.asl.fault import RUNTIME
from torpor.workflows.asl.frontier import Frame, Phase, Status
from torpor.workflows.asl.resume import outstanding, unfinished
from torpor.workflows.engine.concurrency import Admission, ExpressAdmission, Place, concurrency_lane
from torpor.workflows.engine.effects import Effects, waits_long
from torpor.workflows.engine.heartbeats import Heartbeats
from torpor.workflows.engine.programs import Revision
from torpor.workflows.engine.resident import Resident, fresh_frontier
from torpor.workflows.engine.residents import Residents
from torpor.workflows.engine.spans import Spans
from torpor.workflows.engine.timers import Alarm, Kind, Timers
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.turns import Work, starts_quick
from torpor.workflows.engine.usage import count_end, count_transitions
from torpor.workflows.engine.world import Clock, World
from torpor.workflows.ledger.base import Owned, Stored
from torpor.workflows.records import Execution

EXPRESS_SECONDS = 300.0
"""AWS's limit for express executions."""
LONG_SECONDS = 30.0
"""An execution may leave the memory when its next timer is further away than this."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a Keeper works with."""

    residents: Residents
    timers: Timers
    heartbeats: Heartbeats
    admission: Admission
    express: ExpressAdmission
    effects: Effects
    tokens: TaskTokens
    clock: Clock
    random: Random
    most_residents: int
    spans: Spans | None


class Keeper:
    """The `Aftermath` of every step, and the door to the memory."""

    def __init__(
        self,
        parts: Parts,
        deliver: Callable[[Resident, Input], None],
        revive: Callable[[Owned, str], None],
        consumed: Callable[[Sequence[int]], None],
    ) -> None:
        self._parts = parts
        self._residents = parts.residents
        self._timers = parts.timers
        self._deliver = deliver
        self._revive = revive
        self._consumed = consumed

    # --- coming ------------------------------------------------------------------------------
    def adopt(self, stored: Stored, revision: Revision, owned: Owned | None) -> Resident:
        """Take an execution in and let it go on; one that ended just waits for its mail.

        Raises Throttled when an express one comes to a lane where too many wait. Nothing is left of
        one that cannot be taken in.
        """
        execution = stored.execution
        world = self.world(execution)
        frontier = stored.frontier or fresh_frontier(execution, revision)
        lane = concurrency_lane(revision.machine, execution.input, world)
        resident = Resident(execution, revision, frontier, world, owned, lane)
        self._residents.add(resident)
        try:
            self._set_going(resident)
        except BaseException:
            self.dropped(resident)
            raise
        return resident

    def _set_going(self, resident: Resident) -> None:
        if resident.frontier.frames:
            self.reloaded(resident)
            return
        resident.quick = starts_quick(resident.execution, resident.revision)
        self._admit(resident)

    def world(self, execution: Execution) -> World:
        """What an execution's steps get from outside."""
        parts = self._parts
        start = execution.started_at
        return World(execution.arn, parts.clock, parts.random, parts.tokens, start)

    def _admit(self, resident: Resident) -> None:
        """Let a resident begin when its lane has room; an express one times out in the queue."""
        place, candidate = _place(resident), _Candidate(self, resident)
        if resident.owned is None:
            self._parts.express.enter(place, candidate.begin)
            self._set_timers(resident, ())
        else:
            self._parts.admission.enter(place, resident.execution.started_at, candidate)

    def begin(self, resident: Resident) -> None:
        """A resident has its place."""
        if not resident.gone and not resident.frontier.frames:
            self._deliver(resident, Start())

    def wait(self, resident: Resident) -> None:
        """Let a resident go that waits for its place, but one that is just being stopped."""
        if not (resident.gone or resident.mail or resident.driving or resident.frontier.frames):
            self.dropped(resident)

    def reloaded(self, resident: Resident) -> None:
        """Carry out again what a frontier that was just loaded waits for."""
        frontier = resident.frontier
        if not resident.running:
            return
        if self._parts.spans is not None:
            self._parts.spans.loaded(resident)
        effects: list[Effect] = [*outstanding(resident.revision.program, frontier)]
        self._set_timers(resident, tuple(frontier.frames))
        for frame in frontier.frames.values():
            self._watch(resident, frame)
        self._parts.effects.carry_out(resident, effects)
        for event in unfinished(frontier):
            self._deliver(resident, event)

    # --- going on ----------------------------------------------------------------------------
    def committed(self, resident: Resident, touched: tuple[int, ...], work: Work) -> None:
        """Set timers and carry effects out; let the resident go when it ended."""
        if work.consumed:
            self._consumed(work.consumed)
        if work.begins:
            WORKFLOW_STARTED.labels(resident.revision.machine.type.value).inc()
        count_transitions(resident.revision.machine, work.transitions)
        if self._parts.spans is not None:
            self._parts.spans.committed(resident, work)
        self._set_timers(resident, touched)
        for event in work.events:
            if isinstance(event, TaskSubmitted | ActivityStarted | HeartbeatSeen):
                frame = resident.frontier.frames.get(event.frame)
                if frame is not None and frame.ticket == event.ticket:
                    self._watch(resident, frame)
        self._parts.effects.carry_out(resident, work.effects)
        if not resident.running:
            self._retire(resident)

    def idle(self, resident: Resident) -> None:
        """Let a resident that waits for long leave the memory when there are too many."""
        if len(self._residents) > self._parts.most_residents and self._may_leave(resident):
            self._residents.evict(resident)

    def _may_leave(self, resident: Resident) -> bool:
        if resident.owned is None or not resident.frontier.frames:
            return False
        if resident.driving or resident.mail:
            return False
        if self._parts.effects.busy(resident.arn):
            return False
        due = self._timers.next_due(resident.arn)
        if due is not None and due < self._parts.clock.now() + LONG_SECONDS:
            return False
        return all(waits_long(frame) for frame in resident.frontier.frames.values())

    def _set_timers(self, resident: Resident, frames: tuple[int, ...]) -> None:
        arn, frontier = resident.arn, resident.frontier
        deadline = _deadline(resident)
        if deadline is not None and resident.running:
            self._timers.set(deadline, Alarm(arn, 0, 0, Kind.DEADLINE))
        for id in frames:
            frame = frontier.frames.get(id)
            if frame is None or frame.due is None:
                self._timers.clear(arn, id, Kind.FRAME)
            else:
                self._timers.set(frame.due, Alarm(arn, id, frame.ticket, Kind.FRAME))
            if frame is None or frame.phase not in (Phase.TASK, Phase.TOKEN):
                self._parts.heartbeats.forget(arn, id)
            elif frame.phase is Phase.TASK and not _is_activity(resident, frame):
                self._parts.heartbeats.expect(arn, frame)

    def _watch(self, resident: Resident, frame: Frame) -> None:
        """Wait for the heartbeats and the end of what was submitted or given to a worker."""
        if frame.phase is Phase.TOKEN or not _is_activity(resident, frame):
            self._parts.heartbeats.expect(resident.arn, frame)
        self._parts.effects.follow(resident, frame)

    # --- going -------------------------------------------------------------------------------
    def dropped(self, resident: Resident) -> None:
        """Stop everything that is under way for a resident that is not this process's any more."""
        self._residents.remove(resident)
        self._forget(resident)
        if resident.ended is not None and not resident.ended.done():
            resident.ended.set_result(_given_up(resident, self._parts.clock.now()))

    def lost(self, shard: int) -> None:
        """Stop everything that is under way for a shard that is not this process's any more."""
        for resident in self._residents.of_shard(shard):
            self.dropped(resident)
        for arn in self._residents.take_evicted(shard):
            self._timers.drop(arn)

    def broken(self, resident: Resident) -> None:
        """Let a resident go whose step could not be written, and load it again later."""
        self.dropped(resident)
        if resident.owned is not None:
            self._revive(resident.owned, resident.arn)

    def _retire(self, resident: Resident) -> None:
        """An execution ended: report it and let it go."""
        now = self._parts.clock.now()
        seconds = max(0.0, now - resident.execution.started_at)
        count_end(resident.revision.machine, resident.frontier.status, seconds)
        self._residents.remove(resident)
        self._forget(resident)
        # What was posted and comes too late for this resident is looked at again: a redrive counts.
        self._consumed([mail.posted for mail in resident.mail if mail.posted is not None])
        if resident.ended is not None and not resident.ended.done():
            resident.ended.set_result(_ended(resident, now))

    def _forget(self, resident: Resident) -> None:
        place = _place(resident)
        self._timers.drop(resident.arn)
        self._parts.effects.drop(resident.arn)
        if resident.owned is None:
            self._parts.express.leave(place.arn, place.limit)
        else:
            self._parts.admission.leave(place)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A resident that came for a place in its lane."""

    keeper: Keeper
    resident: Resident

    def begin(self) -> None:
        self.keeper.begin(self.resident)

    def wait(self) -> None:
        self.keeper.wait(self.resident)


def _place(resident: Resident) -> Place:
    return Place(resident.arn, resident.lane, resident.revision.machine.options.concurrency_limit)


def _deadline(resident: Resident) -> float | None:
    """When the execution times out, None if never."""
    deadline = resident.frontier.deadline
    if resident.owned is not None:
        return deadline
    limit = resident.execution.started_at + EXPRESS_SECONDS
    return limit if deadline is None else min(limit, deadline)


def _is_activity(resident: Resident, frame: Frame) -> bool:
    state = resident.revision.program.blocks[frame.block].states[frame.state]
    resource = getattr(state, "resource", None)
    return resource is not None and resource.service == "activity"


def _given_up(resident: Resident, now: float) -> Execution:
    """The end of an execution that is in no ledger when its engine lets it go."""
    return replace(
        resident.execution,
        status=Status.FAILED,
        error=RUNTIME,
        cause="The engine that ran the execution in memory stopped or could not go on: start it "
        "again.",
        stopped_at=now,
    )


def _ended(resident: Resident, now: float) -> Execution:
    end = resident.frontier
    return replace(
        resident.execution,
        status=end.status,
        output=end.output,
        error=end.error,
        cause=end.cause,
        stopped_at=now,
    )
