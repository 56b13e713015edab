"""The faults that `torpor chaos` asks of `torpor dev`: what is done, and what was lost by it.

A fault is done to the processes themselves, as a node that dies or a kernel short of memory does
it, and what brings the work back is what always does: nothing here repairs anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING

from torpor.dev.runs.live import LiveRun
from torpor.dev.runs.record import IndexState
from torpor.errors import TorporError, UnknownFunction
from torpor.platform.base import Instance
from torpor.resources.names import FunctionKey
from torpor.resources.run import UnknownRun

if TYPE_CHECKING:
    from torpor.dev.session import Session

LONGEST_TURN_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_BACK_SECONDS = 75.0
"""The longest pause before an index is tried again is 60 s."""
_TOLD_SECONDS = 5.0


class NothingToBreak(TorporError):
    """What the fault is for does not run now."""

    code = "nothing-to-break"


class NotBack(TorporError):
    """It was done, and what it broke is not back in time: nobody can say yet what was lost."""

    code = "not-back"


@dataclass(frozen=True, slots=True)
class Told:
    """What was done, what was lost by it, and where to watch what comes of it: sentences."""

    did: str
    lost: str
    watch: str

    def to_json(self) -> dict[str, str]:
        """Return what callers are shown."""
        return {"did": self.did, "lost": self.lost, "watch": self.watch}


class Chaos:
    """Does one fault at a time to what a session runs; `clock` is monotonic, in seconds."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock

    async def kill_run(self, namespace: str, name: str) -> Told:
        """Kill the processes of a run, or of the latest of a Function; UnknownRun."""
        try:
            live = self._session.runs.under_way(namespace, name)
        except UnknownRun:
            if (key := FunctionKey(namespace, name)) not in self._session.entries:
                raise
            raise NothingToBreak(f"{key} has no run that goes on: start one first") from None
        run, before, failures = live.record.id, _done(live), _failures(live)
        killed = live.crash()
        if not killed:
            raise NothingToBreak(
                f"no process of run {namespace}/{run} runs now: it has ended, or waits to be "
                f"tried again; `torpor run show {run} -n {namespace}` tells"
            )
        for index in killed:
            live.record.progress.pop(index, None)
        began = self._clock()
        if not await self._holds(lambda: _again(live, killed, failures), _BACK_SECONDS):
            raise _not_back(f"run {namespace}/{run}", f"torpor run show {run} -n {namespace}")
        seconds = self._clock() - began
        processes = ", ".join(f"index {index}" for index in killed)
        return Told(
            did=f"run {namespace}/{run}: SIGKILL to {processes}",
            lost=await self._lost_of_run(live, killed, before, seconds),
            watch=f"torpor run show {run} -n {namespace}",
        )

    async def kill_pod(self, key: FunctionKey) -> Told:
        """Kill one instance of a Function, all that it started included; UnknownFunction."""
        victim = self._instances(key)[0]
        in_flight = self._in_flight(key)
        self._session.platform.send_signal(key, victim.name, Signals.SIGKILL)
        began = self._clock()
        if not await self._holds(lambda: self._is_back(key, victim), _BACK_SECONDS):
            raise _not_back(f"instance {victim.name} of {key}", "torpor dev's table")
        seconds = self._clock() - began
        lost = "none" if in_flight == 0 else f"those in it, of {in_flight} at the Function"
        return Told(
            did=f"function {key}: SIGKILL to instance {victim.name}",
            lost=f"requests: {lost}; {self._replacement(key)} after {seconds:.1f} s",
            watch="torpor dev's table: the instance starts again, and requests are held meanwhile",
        )

    async def kill_engine(self) -> Told:
        """Drop the engine without a commit, and start another on the same ledger."""
        executions = self._session.executions
        if executions is None:
            raise NothingToBreak("there is no engine: the folder has no Workflow")
        began = self._clock()
        try:
            running = await executions.crash()
        except TimeoutError as error:
            raise _not_back("the engine", "torpor dev's log") from error
        seconds = self._clock() - began
        return Told(
            did="engine: dropped without a commit",
            lost=f"nothing: {running} of the latest executions were running and go on from what "
            f"is committed; another engine serves after {seconds:.1f} s. A task that was in "
            "flight is done again, with the same Idempotency-Key",
            watch="torpor workflow list; torpor workflow history NAME/EXECUTION",
        )

    async def slow(self, key: FunctionKey, seconds: float) -> Told:
        """Have every instance of a Function stand still for so long, and go on.

        At most LONGEST_TURN_SECONDS: whoever wants it longer asks again.
        """
        stopped = [instance.name for instance in self._instances(key)]
        try:
            self._signal(key, stopped, Signals.SIGSTOP)
            await asyncio.sleep(min(seconds, LONGEST_TURN_SECONDS))
        finally:
            self._signal(key, stopped, Signals.SIGCONT)
        return Told(
            did=f"function {key}: {len(stopped)} instances stood still for {seconds:g} s",
            lost="nothing, but time: what takes longer than timeoutSeconds is answered 504",
            watch="torpor dev's table: what is in flight and queued grows, and instances follow",
        )

    def _instances(self, key: FunctionKey) -> list[Instance]:
        entry = self._session.entries.get(key)
        if entry is None:
            raise UnknownFunction(f"there is no function {key} in the folder")
        if entry.program.function.job is not None:
            raise NothingToBreak(f"{key} is a Job, which has runs: torpor chaos kill-run {key}")
        found = [it for it in self._session.platform.instances(key) if not it.terminating]
        if not found:
            raise NothingToBreak(f"{key} is at zero: send it a request, and break it then")
        return found

    def _in_flight(self, key: FunctionKey) -> int:
        return sum(row.load.in_flight for row in self._session.rows() if row.key == key)

    def _signal(self, key: FunctionKey, names: list[str], number: Signals) -> None:
        for name in names:
            self._session.platform.send_signal(key, name, number)

    def _is_back(self, key: FunctionKey, victim: Instance) -> bool:
        """Whether another process serves in its place, or none is wanted any more."""
        before = victim.seen.get("started")
        found = self._session.platform.instances(key)
        same = next((it for it in found if it.name == victim.name), None)
        return same is None or (same.ready and same.seen.get("started") != before)

    def _replacement(self, key: FunctionKey) -> str:
        ready = sum(it.ready for it in self._session.platform.instances(key))
        return f"{ready} ready again" if ready else "none is needed any more"

    async def _lost_of_run(
        self, live: LiveRun, killed: list[int], before: dict[int, float], seconds: float
    ) -> str:
        """Return from where the attempts go on; what a program does not tell nobody knows."""
        if live.record.state.is_final:
            return f"the run ended as {live.record.state.value}: {live.record.message}"
        told = [index for index in killed if index in before]
        await self._holds(lambda: set(told) <= _done(live).keys(), _TOLD_SECONDS)
        after = _done(live)
        redone = [
            f"index {index} had told of {before[index]:g} and goes on from {after[index]:g}"
            for index in told
            if index in after
        ]
        attempt = max(live.record.indexes[index].attempt for index in killed)
        again = f"attempt {attempt} began {seconds:.1f} s later"
        return "; ".join([again, *redone]) + (
            "" if redone else "; what its program commits stays, the rest is done again"
        )

    async def _holds(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Return True as soon as it holds, False if it does not after so many seconds."""
        deadline = self._clock() + seconds
        while not holds():
            if self._clock() >= deadline:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True


def _not_back(what: str, watch: str) -> NotBack:
    return NotBack(f"{what} was killed, and is not back yet: {watch} tells when and why")


def _done(live: LiveRun) -> dict[int, float]:
    """Return how much each index told of, in its program's units."""
    told = live.record.progress.items()
    return {index: found["done"] for index, found in told if found["done"] is not None}


def _failures(live: LiveRun) -> list[int]:
    return [index.failures for index in live.record.indexes]


def _again(live: LiveRun, killed: list[int], before: list[int]) -> bool:
    """Whether every index that was killed is at another attempt, or the run is over."""
    if live.record.state.is_final:
        return True
    indexes = live.record.indexes
    return all(
        indexes[n].failures > before[n] and indexes[n].state is not IndexState.WAITING
        for n in killed
    )
