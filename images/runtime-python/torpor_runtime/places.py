"""The places in which executions run; whoever finds none free waits in line."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Lock


class Places:
    """`limit` places (0: endless), given in the order of asking: nobody overtakes the line."""

    def __init__(self, limit: int) -> None:
        self._endless = limit == 0
        self._free = limit
        self._line: list[Lock] = []
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def take(self, seconds: float) -> bool:
        """Wait for a place; False if none was given within `seconds`."""
        if self._endless:
            return True
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._line.append(turn)
        if turn.acquire(timeout=max(0.0, seconds)):
            return True
        with self._lock:
            if turn not in self._line:
                return True  # it was given in the last moment
            self._line.remove(turn)
            return False

    def leave(self) -> None:
        """Give a place back: to the first in line, if there is one."""
        if self._endless:
            return
        with self._lock:
            if self._line:
                self._line.pop(0).release()
            else:
                self._free += 1
