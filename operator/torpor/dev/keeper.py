"""Keeps a server of `torpor dev` running: one that ends by itself is started again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from torpor.errors import TorporError

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_STEADY_SECONDS = 10.0
"""A server that ran for so long was well: its end is the first trouble again."""
_PAUSES_SECONDS = (0.0, 1.0, 4.0)
"""Before each new start; after as many that were in vain the run ends."""


class Server(Protocol):
    """A program that runs beside this one."""

    @property
    def pid(self) -> int | None:
        """Its process while it runs."""
        ...


class InVain(TorporError):
    """A server ended and could not be started again; the message says how it went."""

    code = "server-ended"


async def keep(
    server: Server,
    start: Callable[[], Awaitable[None]],
    name: str,
    failures: tuple[type[Exception], ...],
) -> None:
    """Start the server again whenever it ended; InVain when that is of no use.

    `failures` is what `start` raises when the server cannot be started.
    """
    in_vain, since, why = 0, time.monotonic(), "it ends soon after each start"
    while True:
        while server.pid is not None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(_LOOK_SECONDS)
        if time.monotonic() - since > _STEADY_SECONDS:
            in_vain = 0
        if in_vain == len(_PAUSES_SECONDS):
            raise InVain(f"{name} ended and could not be started again in {in_vain} tries: {why}")
        log.warning("%s ended: it is started again", name)
        await asyncio.sleep(_PAUSES_SECONDS[in_vain])
        in_vain += 1
        try:
            await start()
        except failures as error:
            why = " ".join(str(error).split())
        since = time.monotonic()


def sole(
    group: BaseExceptionGroup[BaseException], kinds: tuple[type[Exception], ...]
) -> BaseException | None:
    """Return an error of a group that has none but of these kinds, the first kind before others.

    None if there are others.
    """
    if group.split(kinds)[1] is not None:
        return None
    found = next(part for kind in kinds if (part := group.subgroup(kind)))
    why: BaseException = found
    while isinstance(why, BaseExceptionGroup):
        why = why.exceptions[0]
    return why
