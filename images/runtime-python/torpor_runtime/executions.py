"""Counts what runs: executions, not requests.

A thread cannot be ended from outside. When the client leaves or the time is up, the handler runs
on, and the gateway, which counts requests, sends the next one. It waits here until a place is
really free, so that a limit of 1 means never two at once.
"""

from __future__ import annotations

import threading
import time

from torpor_runtime.deadlines import Deadlines
from torpor_runtime.logs import request_fields, write_line
from torpor_runtime.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from torpor_runtime.limits import Limits


_LEAD_SECONDS = 0.25
_LEAD_SHARE = 0.1


class Turn:
    """One request's turn: it waits for a place, runs, and may be overtaken by its time-out."""

    def __init__(self, deadline: float, overtaken: Callable[[], None]) -> None:
        self.deadline = deadline
        self.overtaken = overtaken
        """Called once when the time is up, in another thread, instead of the handler's answer."""
        self.runs = False
        self.ended = False
        self.is_late = False
        self.is_stuck = False
        self.fields = request_fields.get()
        self._cancel: Callable[[], object] | None = None

    def cancel_by(self, cancel: Callable[[], object]) -> None:
        """Say how what runs now can be ended: it is when the time is up, or was already."""
        self._cancel = cancel
        if self.is_late:
            cancel()

    def cancel(self) -> None:
        """End what runs now, where that is possible."""
        self.is_late = True
        if self._cancel:
            self._cancel()


class Executions:
    """Gives turns their places, and tells them when their time is up.

    A place whose execution goes on for the grace after its time-out counts as lost. When all are
    lost nothing can run here any more: `give_up(reason)` is called.
    """

    def __init__(self, limits: Limits, give_up: Callable[[str], None]) -> None:
        self._limits = limits
        self._give_up = give_up
        self._lead_seconds = min(_LEAD_SECONDS, limits.timeout_seconds * _LEAD_SHARE)
        self._places = Places(limits.concurrency)
        self._times = Deadlines(limits.timeout_seconds, self._late, "time-outs")
        self._graces = Deadlines(limits.grace_seconds, self._stuck, "graces")
        self._lost = 0
        self._lock = threading.Lock()

    def enter(self, turn: Turn) -> bool:
        """Wait for a place; False if the time was nearly up first, and `turn` knows it.

        The wait ends before the time does: a gateway's clock for the same time began earlier, and
        would say that the function is slow, not that its places are taken.

        RuntimeError, and no place is taken, if there are no threads to watch the time.
        """
        self._times.watch()
        self._graces.watch()
        self._times.arm(turn)
        if not self._places.take(turn.deadline - self._lead_seconds - time.monotonic()):
            if self._times.disarm(turn):
                turn.overtaken()
            return False
        turn.runs = True
        if self._times.holds(turn):
            return True
        self.leave(turn)
        return False

    def pause(self, turn: Turn) -> bool:
        """Stop the time of a turn that waits for its client; False if it was up."""
        return self._times.disarm(turn)

    def resume(self, turn: Turn) -> None:
        """Give the turn its whole time again."""
        self._times.arm(turn)

    def leave(self, turn: Turn) -> bool:
        """Give the place back; return whether the time was not up."""
        wanted = self._times.disarm(turn)
        with self._lock:
            turn.ended = True
            self._lost -= turn.is_stuck
        self._graces.disarm(turn)
        self._places.leave()
        return wanted

    def refuse_waiting(self) -> None:
        """Let no turn wait for a place any longer."""
        for turn in self._times.armed():
            if not turn.runs and self._times.disarm(turn):
                turn.overtaken()

    def _late(self, turn: Turn) -> None:
        if turn.runs:
            self._graces.arm(turn)
            if turn.ended:  # before it was armed: nobody else would disarm it
                self._graces.disarm(turn)
        try:
            turn.overtaken()
        finally:
            turn.cancel()

    def _stuck(self, turn: Turn) -> None:
        with self._lock:
            if turn.ended:
                return
            turn.is_stuck = True
            self._lost += 1
            lost = self._lost
        limit = self._limits.concurrency
        grace = f"{self._limits.grace_seconds:g} s"
        reason = (
            f"{lost} of {limit or 'any number of'} executions go on {grace} after their time-out"
        )
        write_line("warning", reason, **(turn.fields or {}))
        if lost == limit:
            self._give_up(reason)
