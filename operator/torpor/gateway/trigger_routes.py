"""Follows the Triggers of a cluster, for the addresses that they have at the gateways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from torpor.gateway.http_table import HttpTable
from torpor.platform.kubernetes import KubernetesApi, ObjectKey, Reflector, Selection
from torpor.platform.kubernetes.resources import TRIGGERS
from torpor.resources.http_route import Claim, Claims, claim_of
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)

FIRST_SECONDS = 10.0
"""How long to wait for all Triggers before going on without: the kind may not be installed."""
PAUSE_SECONDS = 0.2
"""Changes within this time are told together."""
_SHARE = 4.0
"""For each second of making a table so many of rest, however many Triggers there are."""


async def watch_tables(
    api: KubernetesApi, namespace: str, *, events: bool
) -> AsyncGenerator[HttpTable]:
    """Yield the table of all Triggers whenever it changes, first once all are known."""
    claims, changed = Claims(), asyncio.Event()
    clock = asyncio.get_running_loop().time

    def on_change(key: ObjectKey, old: Claim | None, new: Claim | None) -> None:
        if old != new:
            claims.put(FunctionKey(key.namespace, key.name), new)
            changed.set()

    triggers = Reflector[Claim](api, Selection(TRIGGERS, namespace), claim_of, on_change)
    task = asyncio.create_task(triggers.run(), name="reflect triggers")
    try:
        await _known(triggers)
        while True:
            changed.clear()
            began = clock()
            table = HttpTable.of(claims.routes(), events=events)
            took = clock() - began
            yield table
            await changed.wait()
            await asyncio.sleep(max(PAUSE_SECONDS, took * _SHARE))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _known(triggers: Reflector[Claim]) -> None:
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            await triggers.synced.wait()
    except TimeoutError:
        log.warning("the Triggers cannot be listed; it is tried on, without their addresses")
