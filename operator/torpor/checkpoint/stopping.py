"""Being asked to stop: by Kubernetes with SIGTERM and a grace, by a person with Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from torpor.checkpoint.errors import Stopped

GRACE_SECONDS = 25.0


class Stop:
    """Whether the program was asked to stop, and how long it may still take.

    `clock` is a monotonic one, in seconds. Threads may share a Stop.
    """

    def __init__(
        self, grace_seconds: float = GRACE_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._asked = threading.Event()
        self._asked_at = 0.0

    @property
    def requested(self) -> bool:
        """Whether it was asked to."""
        return self._asked.is_set()

    @property
    def left_seconds(self) -> float:
        """How much of the grace is left: all of it while nobody asked, never below 0."""
        if not self.requested:
            return self._grace_seconds
        return max(0.0, self._grace_seconds - (self._clock() - self._asked_at))

    def request(self) -> None:
        """Ask it to stop; asking again changes nothing."""
        if not self.requested:
            self._asked_at = self._clock()
            self._asked.set()

    def raise_if_requested(self) -> None:
        """Raise Stopped if it was asked to stop."""
        if self.requested:
            raise Stopped("asked to stop: what is committed is kept, the rest is made next time")

    def wait(self, seconds: float) -> bool:
        """Wait until it is asked to stop, at most so long; return whether it was."""
        return self._asked.wait(seconds)

    def pause(self, seconds: float) -> None:
        """Wait; less if the grace is over sooner. Raises Stopped when it is over."""
        deadline = self._clock() + seconds
        if not self.requested:
            self._asked.wait(seconds)
        while self.requested and (left := deadline - self._clock()) > 0:
            if self.left_seconds <= 0:
                raise Stopped("asked to stop, and the grace is over")
            time.sleep(min(left, self.left_seconds, 0.5))

    def listen(self, on_impatience: Callable[[], None]) -> None:
        """Take SIGTERM and SIGINT as requests, and call `on_impatience` for a SIGINT after one.

        SIGTERM may come again without being meant so: kubelets repeat it. Only the main thread may
        call this, and signals are heard while that thread runs Python.
        """

        def hear(number: int, frame: FrameType | None) -> None:
            del frame
            if self.requested and number == signal.SIGINT:
                on_impatience()
            self.request()

        signal.signal(signal.SIGTERM, hear)
        signal.signal(signal.SIGINT, hear)
