"""The servers and roles that a session has only where its folder needs them.

Each is imported when it is needed: PostgreSQL and NATS are extras, and take a while to load.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torpor.dev.capacity import LocalCapacity
from torpor.dev.folder import Folder
from torpor.dev.ports import Ports, address
from torpor.dev.standins import StandIn
from torpor.dev.state import EVENTS, OBJECTS, WORKFLOWS
from torpor.telemetry.spanstore import SpanStore

if TYPE_CHECKING:
    from torpor.dev.engine import LocalEngine
    from torpor.dev.events import LocalEvents

_CONNECTIONS_FOLDER = "TORPOR_CONNECTIONS_FOLDER"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the roles of a session stand in; `spans` is where they tell theirs.

    `gateway` is its URL, `functions_key` the secret that the functions' tokens derive from.
    """

    folder: Path
    work: Path
    ports: Ports
    gateway: str
    capacity: LocalCapacity
    spans: SpanStore
    functions_key: bytes = field(repr=False)


async def open_postgres(opened: AsyncExitStack, setting: Setting, found: Folder) -> str:
    """Return the DSN of the embedded PostgreSQL; empty where nothing needs one."""
    if setting.ports.executions is None and not found.has(StandIn.POSTGRESQL):
        return ""
    from torpor.dev.postgres import running_postgres

    return await opened.enter_async_context(running_postgres(setting.work / WORKFLOWS))


async def open_engine(
    opened: AsyncExitStack, setting: Setting, postgres: str
) -> LocalEngine | None:
    """Return the engine, which does not run yet; None where there is no Workflow."""
    if setting.ports.executions is None:
        return None
    from torpor.dev.engine import LocalEngine

    connections = os.environ.get(_CONNECTIONS_FOLDER) or setting.folder / "connections"
    engine = LocalEngine(
        setting.work / WORKFLOWS,
        setting.work / OBJECTS,
        setting.gateway,
        setting.ports.executions,
        functions_key=setting.functions_key,
        connections=Path(connections),
        events=address(setting.ports.events) if setting.ports.events else "",
        keep=setting.spans.add,
    )
    await opened.enter_async_context(engine.opened(postgres))
    return engine


async def open_events(opened: AsyncExitStack, setting: Setting) -> LocalEvents | None:
    """Return the events role, which does not run yet; None where nothing needs it."""
    if setting.ports.events is None:
        return None
    from torpor.dev.events import Around, LocalEvents

    engine = setting.ports.executions
    around = Around(
        place=setting.work / EVENTS,
        objects=setting.work / OBJECTS,
        gateway=setting.gateway,
        engine=address(engine) if engine else "",
        capacity=setting.capacity,
        port=setting.ports.events,
        functions_key=setting.functions_key,
        keep=setting.spans.add,
    )
    events = LocalEvents(around)
    await opened.enter_async_context(events.opened())
    return events
