"""What was handed over and is not acknowledged yet, for sources that move on in steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from torpor.triggers.base import Received, SourceAway, Undecodable
from torpor.triggers.event import Event

_SETTLE_SECONDS: Final = 600.0


class Outstanding:
    """Counts what is handed over, so that a source moves on only after all of it is stored."""

    def __init__(self, keep: Callable[[], Awaitable[None]] | None = None) -> None:
        """`keep` is called, by the last acknowledgement, whenever all is acknowledged."""
        self._keep = keep
        self._open = 0
        self._refused = False
        self._settled = asyncio.Event()
        self._settled.set()

    def received(self, content: Event | Undecodable) -> Received:
        """Return what is to be yielded for `content`."""
        self._open += 1
        self._settled.clear()
        return Received(content, self._ack, self._nak)

    async def settle(self) -> None:
        """Return when all is acknowledged; SourceAway when something was not."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            text = f"{self._open} events were not stored in {_SETTLE_SECONDS:g} s"
            raise SourceAway(text) from None
        if self._refused:
            raise SourceAway("an event was not stored: reading again from where all were")

    async def _ack(self) -> None:
        self._open -= 1
        if self._open == 0:
            if self._keep is not None:
                await self._keep()
            self._settled.set()

    async def _nak(self) -> None:
        self._refused = True
        self._settled.set()
