"""Drives residents: takes their mail, advances the machine, commits, and then lets effects happen.

One order holds everywhere: commit before effect. What a crash or a refused commit loses was never
seen by anybody, so doing it again is right.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from torpor.telemetry.metrics import (
    WORKFLOW_COMMIT_EVENTS,
    WORKFLOW_COMMIT_SECONDS,
)
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import (
    Continue,
    Input,
    Start,
)
from torpor.workflows.asl.resume import abandon
from torpor.workflows.engine.dispatching import Spawn
from torpor.workflows.engine.mail import Mail, acknowledge, refuse
from torpor.workflows.engine.resident import Resident, fresh_frontier
from torpor.workflows.engine.turns import Work, is_small, take_turn
from torpor.workflows.ledger.base import Commit, Fenced, Ledger, LedgerAway, NotFound, Owned
from torpor.workflows.records import Execution

log = logging.getLogger(__name__)

_MOST_MAIL = 200
"""Pieces of mail taken in for one commit."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class Aftermath(Protocol):
    """What happens when a step is durable."""

    def committed(self, resident: Resident, touched: tuple[int, ...], work: Work) -> None:
        """Set timers and carry effects out; may let the resident go."""

    def reloaded(self, resident: Resident) -> None:
        """Carry out again what a frontier that was just loaded waits for."""

    def idle(self, resident: Resident) -> None:
        """There is no mail: the resident may leave the memory."""

    def broken(self, resident: Resident) -> None:
        """Let a resident go whose step could not be written, and load it again later."""

    def dropped(self, resident: Resident) -> None:
        """Stop everything that is under way for a resident that is not this process's any more."""


class Driver:
    """Turns mail into steps, each resident's own one after another, all residents at once."""

    def __init__(
        self,
        ledger: Ledger,
        spawn: Spawn,
        aftermath: Aftermath,
        fenced: Callable[[Owned], None],
    ) -> None:
        self._ledger = ledger
        self._spawn = spawn
        self._aftermath = aftermath
        self._fenced = fenced
        self._reloads = asyncio.Semaphore(16)
        self._thread = ThreadPoolExecutor(1, "steps")

    def deliver(self, resident: Resident, event: Input, posted: int | None = None) -> None:
        """Give a resident something that happened; returns at once."""
        self._put(resident, Mail(event, posted))

    async def settle(self, resident: Resident, event: Input) -> None:
        """Deliver, and wait until the consequences are durable.

        Raises Fenced, and TaskGone when it answers a task that is over.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(resident, Mail(event, done=done))
        await done

    def _put(self, resident: Resident, mail: Mail) -> None:
        if resident.gone:
            refuse([mail])
            return
        resident.mail.append(mail)
        if not resident.driving:
            resident.driving = True
            _ = self._spawn(self._drive(resident), f"drive {resident.arn}")

    async def _drive(self, resident: Resident) -> None:
        try:
            while resident.mail and not resident.gone:
                await self._turn(resident)
        except Exception:
            log.exception("an execution is loaded again", extra={"fields": _fields(resident)})
            self._aftermath.broken(resident)
        finally:
            resident.driving = False
            if resident.gone:
                refuse(resident.mail)
        if not resident.gone:
            self._aftermath.idle(resident)

    async def _turn(self, resident: Resident) -> None:
        taken = [resident.mail.popleft() for _ in range(min(len(resident.mail), _MOST_MAIL))]
        try:
            work = await self._worked(resident, taken)
        except asyncio.CancelledError:
            refuse(taken)
            raise
        except Exception as defect:
            log.exception("a step failed", extra={"fields": _fields(resident)})
            work = await self._abandoned(resident, taken, defect)
        else:
            resident.mail.extendleft(reversed(taken[len(work.events) :]))
            del taken[len(work.events) :]
        if resident.gone:  # lost while a thread worked: another engine, or a later claim, has it
            refuse(taken)
            return
        try:
            touched = await self._commit(resident, work)
        except LedgerAway:
            resident.mail.extendleft(reversed(taken))
            resident.unanswered = work.history
            await self._reload(resident)
            resident.unanswered = ()
            return
        except Fenced:
            refuse(taken)
            assert resident.owned is not None, "an express execution has no fence"
            self._fenced(resident.owned)
            return
        except BaseException:
            refuse(taken)
            raise
        self._finish(resident, taken, touched, work)

    def _finish(
        self, resident: Resident, taken: list[Mail], touched: tuple[int, ...], work: Work
    ) -> None:
        acknowledge(taken)
        if resident.gone:
            return
        self._aftermath.committed(resident, touched, work)
        if work.more:
            resident.mail.append(Mail(Continue()))

    async def _worked(self, resident: Resident, taken: list[Mail]) -> Work:
        """The turn's steps: on a thread unless they surely take little.

        One thread does them for all executions, so that the event loop has only it to share the
        interpreter with. Nothing else changes the frontier meanwhile: the resident is being driven.
        """
        resident.quick = resident.quick and all(is_small(mail.event) for mail in taken)
        if resident.quick:
            return take_turn(resident, taken)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, take_turn, resident, taken)

    async def _abandoned(self, resident: Resident, taken: list[Mail], defect: Exception) -> Work:
        """End an execution whose step raised: its frontier is half changed, so load it first."""
        if resident.owned is not None:
            await self._reload(resident)
        work = Work(consumed=[mail.posted for mail in taken if mail.posted is not None])
        cause = f"An internal error of the engine: {type(defect).__name__}: {defect}"
        program, frontier = resident.revision.program, resident.frontier
        if resident.running and not frontier.frames:
            work.add(advance(program, frontier, Start(), resident.world, budget=0))
        work.more = False
        work.add(abandon(program, frontier, resident.world, cause))
        return work

    async def _commit(self, resident: Resident, work: Work) -> tuple[int, ...]:
        frontier = resident.frontier
        touched = tuple(frontier.touched)
        if resident.owned is not None and (work.history or touched or work.consumed):
            began = time.perf_counter()
            await self._ledger.commit(
                Commit(resident.owned, resident.arn, frontier, work.history, work.consumed)
            )
            WORKFLOW_COMMIT_SECONDS.observe(time.perf_counter() - began)
            WORKFLOW_COMMIT_EVENTS.observe(len(work.history))
        else:
            await asyncio.sleep(0)
        frontier.touched.clear()
        frontier.arrived.clear()
        return touched

    async def _reload(self, resident: Resident) -> None:
        """Read again where the execution stands, as soon as the ledger is back.

        Whether a commit that got no answer was written is known only then.
        """
        pause = _FIRST_PAUSE_SECONDS
        while not resident.gone:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                async with self._reloads:
                    stored = await self._ledger.load_one(resident.arn)
            except LedgerAway:
                continue
            except NotFound:
                self._aftermath.dropped(resident)
                return
            if stored.over:
                self._over(resident, stored.execution)
                return
            resident.frontier = stored.frontier or fresh_frontier(
                resident.execution, resident.revision
            )
            resident.quick = False
            self._aftermath.reloaded(resident)
            return

    def _over(self, resident: Resident, execution: Execution) -> None:
        """The commit that got no answer was the last: nothing of its mail matters any more."""
        frontier = resident.frontier = fresh_frontier(execution, resident.revision)
        frontier.status, frontier.output = execution.status, execution.output
        frontier.error, frontier.cause = execution.error, execution.cause
        for mail in resident.mail:
            mail.opened(resident.arn, frontier)
        acknowledge(resident.mail)
        self._aftermath.committed(resident, (), Work())


def _fields(resident: Resident) -> dict[str, str]:
    return {"execution": resident.arn}
