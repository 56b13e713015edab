"""Tells when a turn has taken too long; one thread watches all of one kind."""

from __future__ import annotations

import threading
import time

from torpor_runtime.logs import write_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from torpor_runtime.executions import Turn


class Deadlines:
    """Calls `expired(turn)` for every turn that stays armed for `seconds`.

    All have the same time, so the oldest is the next: a dict in the order of arming is enough. Of
    disarming and expiring exactly one happens.
    """

    def __init__(self, seconds: float, expired: Callable[[Turn], None], name: str) -> None:
        self._seconds = seconds
        self._expired = expired
        self._name = name
        self._armed: dict[Turn, float] = {}
        self._changed = threading.Condition(threading.Lock())
        self._watching = False
        self._telling = threading.Lock()

    def watch(self) -> None:
        """Begin to watch, if that has not happened; RuntimeError if no thread can be had."""
        if self._watching:
            return
        with self._changed:
            if not self._watching:
                threading.Thread(target=self._watch, name=self._name, daemon=True).start()
                self._watching = True

    def arm(self, turn: Turn) -> None:
        """Give `turn` its time, from now on; somebody must `watch`."""
        with self._changed:
            self._armed[turn] = time.monotonic() + self._seconds
            if len(self._armed) == 1:
                self._changed.notify()

    def disarm(self, turn: Turn) -> bool:
        """Take `turn` out; False if its time was up, and by now it was told, or it is not armed."""
        with self._changed:
            if self._armed.pop(turn, None) is not None:
                return True
        with self._telling:
            return False

    def holds(self, turn: Turn) -> bool:
        """Return whether `turn` is armed and its time not up."""
        return turn in self._armed

    def armed(self) -> list[Turn]:
        """Return the turns whose time runs, oldest first."""
        with self._changed:
            return list(self._armed)

    def _watch(self) -> None:
        while True:
            turn = self._next()
            try:
                self._expired(turn)
            except Exception as error:  # the turns behind this one have deadlines too
                write_failure("a time-out failed", error)
            finally:
                self._telling.release()

    def _next(self) -> Turn:
        with self._changed:
            while True:
                turn, deadline = next(iter(self._armed.items()), (None, None))
                if turn is None or deadline is None:
                    self._changed.wait()
                    continue
                left = deadline - time.monotonic()
                if left <= 0:
                    self._telling.acquire()  # before anyone can find the turn gone
                    del self._armed[turn]
                    return turn
                self._changed.wait(left)
