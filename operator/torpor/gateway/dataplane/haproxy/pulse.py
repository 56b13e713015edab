"""Asks HAProxy every two seconds whether it lives, whatever else is asked of it.

While no function is awake nobody else would notice that it died or hangs. Who does what then:

- HAProxy ended: `HaproxyProcess` starts it again at once, with everything that is wanted.
- HAProxy runs and does not answer for `HUNG_SECONDS`: it is killed here, so that it is started.
- it is away for `LOST_SECONDS`, whatever was tried: `lost` fails the gateway's liveness, and the
  kubelet starts the container anew. Nothing is lost by that: no request is open any more.

The same question fetches what HAProxy answered by itself (`answers`), for the metrics, and how many
connections it has (`crowd`); what it answered between the last question and its end is not counted.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.haproxy import answers, stats
from torpor.gateway.dataplane.haproxy.crowd import Crowd
from torpor.gateway.dataplane.haproxy.process import HaproxyProcess
from torpor.gateway.dataplane.haproxy.runtime import RuntimeSocket
from torpor.telemetry.metrics import CONNECTIONS_USED, REFUSED

BEAT_SECONDS = 2.0
"""Between two questions."""
ANSWER_SECONDS = 2.0
"""How long one answer may take."""
HUNG_SECONDS = 10.0
"""How long HAProxy may run without an answer before it is killed."""
LOST_SECONDS = 60.0
"""How long HAProxy may be away before the whole gateway should be started again."""

_log = logging.getLogger(__name__)


class Pulse:
    """What is known of HAProxy's life. Times are those of `clock`, in seconds."""

    def __init__(
        self,
        process: HaproxyProcess,
        admin_socket: Path,
        clock: Callable[[], float],
        crowd: Crowd,
    ) -> None:
        self._process = process
        self._crowd = crowd
        # Its own connection: the other may be busy with thousands of changes.
        self._runtime = RuntimeSocket(admin_socket)
        self._clock = clock
        self._answered_at = clock()
        self._began_at = self._answered_at
        self._silence: str | None = None
        self._pid: int | None = None
        self._counts: Mapping[str, int] = {}

    def problem(self) -> str | None:
        """Return why HAProxy carries no requests now; None if it does."""
        return self._silence if self._process.up else "HAProxy is not running"

    def lost(self) -> str | None:
        """Return a sentence once HAProxy was away for `LOST_SECONDS`."""
        away_seconds = self._clock() - self._answered_at
        return f"HAProxy is away for {away_seconds:.0f} s" if away_seconds > LOST_SECONDS else None

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                if self._process.up:
                    await self._beat()
                await asyncio.sleep(BEAT_SECONDS)
        except asyncio.CancelledError:
            # Nobody asks any more because the gateway stops: a long drain is no loss.
            self._answered_at = math.inf
            raise
        finally:
            self._runtime.close()

    async def _beat(self) -> None:
        pid = self._process.pid
        if pid != self._pid:
            self._pid, self._counts, self._silence = pid, {}, None
            self._began_at = self._clock()
            self._runtime.close()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                info, *said = await self._runtime.run(["show info", *answers.count_commands()])
        except (DataPlaneError, TimeoutError) as error:
            self._silent(str(error) or f"no answer within {ANSWER_SECONDS:g} s")
            return
        self._silence, self._answered_at = None, self._clock()
        self._count(answers.counts(said))
        current = stats.all_connections(info)
        self._crowd.read(current)
        CONNECTIONS_USED.set(current)

    def _silent(self, problem: str) -> None:
        self._silence = f"HAProxy does not answer: {problem}"
        if self._clock() - max(self._answered_at, self._began_at) < HUNG_SECONDS:
            return
        _log.error("HAProxy hangs and is killed", extra={"fields": {"pid": self._pid}})
        self._process.kill()

    def _count(self, counts: Mapping[str, int]) -> None:
        for code, count in counts.items():
            REFUSED.labels(code).inc(max(0, count - self._counts.get(code, 0)))
        self._counts = counts
