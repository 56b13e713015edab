"""Answers HAProxy's question about a held request: which slot it may go on in, or why it may not.

The activator decides; what is added here is HAProxy's own view. A request that came back because
its servers went waits until HAProxy sees one that it can use, else it would come back again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.base import Holder, Refused
from torpor.gateway.dataplane.haproxy import stats
from torpor.gateway.dataplane.haproxy.answers import FULL
from torpor.gateway.dataplane.haproxy.commands import Commands
from torpor.gateway.dataplane.haproxy.crowd import Crowd
from torpor.gateway.dataplane.haproxy.holdserver import Kind, Released
from torpor.gateway.dataplane.haproxy.model import Model
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REFUSED

_POLL_SECONDS = 0.05
_TRIES = 40


class Passage:
    """Decides for all held requests; the activator is asked through `holder`."""

    def __init__(
        self,
        model: Model,
        commands: Commands,
        clock: Callable[[], float],
        *,
        crowd: Crowd,
        wait_seconds: float,
    ) -> None:
        self._model = model
        self._commands = commands
        self._clock = clock
        self._crowd = crowd
        self._wait_seconds = wait_seconds
        self._polls: dict[FunctionKey, asyncio.Task[None]] = {}
        self._waiting: Counter[FunctionKey] = Counter()
        self.holder: Holder | None = None

    def waiting(self, key: FunctionKey) -> int:
        """Return how many requests the activator let go that wait for a usable server."""
        return self._waiting[key]

    async def stop(self) -> None:
        """End all polling."""
        polls = list(self._polls.values())
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    async def decide(self, key: FunctionKey, kind: Kind) -> Released | Refused:
        """Wait until the request may go on, or say why it may not; cancel it when nobody asks."""
        if not self._crowd.has_room(key):
            REFUSED.labels(FULL.code).inc()
            return Refused(FULL.status, FULL.code, FULL.detail, 1)
        with self._crowd.held(key):
            return await self._until_decided(key, kind)

    async def _until_decided(self, key: FunctionKey, kind: Kind) -> Released | Refused:
        assert self.holder is not None, "requests arrive only after start()"
        for _ in range(_TRIES):
            verdict = await self.holder.hold(key)
            if isinstance(verdict, Refused):
                return verdict
            if kind is Kind.AGAIN:
                await self._until_usable(key)
            slot = self._model.slots.find(key)
            if slot:
                slot.quiet_since = self._clock()
                return Released(slot.name, verdict.cold_ms is not None, verdict.phases)
            if self._model.slots.exhausted:
                return Refused(503, "slots-exhausted", "Too many functions are awake here.", 1)
            await asyncio.sleep(_POLL_SECONDS)
        return Refused(503, "unavailable", "The function stopped before it could answer.", 1)

    async def _until_usable(self, key: FunctionKey) -> None:
        poll = self._polls.get(key)
        if poll is None:
            poll = asyncio.create_task(self._poll(key), name=f"haproxy-usable-{key}")
            self._polls[key] = poll
            poll.add_done_callback(lambda _: self._polls.pop(key, None))
        self._waiting[key] += 1
        try:
            await asyncio.shield(poll)
        finally:
            self._waiting[key] -= 1

    async def _poll(self, key: FunctionKey) -> None:
        # HAProxy's own view counts: where it sees no usable server the request would come back.
        deadline = self._clock() + self._wait_seconds
        while self._clock() < deadline:
            slot = self._model.slots.find(key)
            if slot is None:
                return
            try:
                [answer] = await self._commands.ask([stats.command(slot.name)])
            except DataPlaneError:
                # HAProxy went, and with it every request that waits here.
                return
            seen = stats.parse(answer)
            if seen and seen.usable:
                return
            await asyncio.sleep(_POLL_SECONDS)
