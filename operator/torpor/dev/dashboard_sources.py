"""What the dashboard of `torpor dev` shows: the session itself, asked where it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.exposition import generate_latest

from torpor.dashboard import translating
from torpor.dashboard.asking import EventsRole, Role, execution_api
from torpor.dashboard.costing import bill_json, comparison_json
from torpor.dashboard.executions import execution_json
from torpor.dashboard.model import (
    MOST_COLD_STARTS,
    MOST_LISTED,
    ColdStarted,
    EventSeen,
    ExecutionSeen,
    FunctionSeen,
    FunctionState,
    Json,
    TriggerSeen,
)
from torpor.dashboard.requests import Requests
from torpor.dashboard.sources import Away, NotThere
from torpor.gateway.gate import State
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REGISTRY
from torpor.workflows.client import StepFunctions
from torpor.workflows.ledger.base import LedgerError

if TYPE_CHECKING:
    from torpor.dev.rows import Row
    from torpor.dev.session import Session

_STATES: Mapping[str, FunctionState] = {
    State.ASLEEP.value: FunctionState.ZERO,
    State.WAKING.value: FunctionState.WAKING,
    State.AWAKE.value: FunctionState.READY,
    State.PARKED.value: FunctionState.READY,
}


class SessionSources:
    """Implements `Sources` over a session that runs."""

    def __init__(self, session: Session, http: aiohttp.ClientSession) -> None:
        self._session = session
        self._http = http
        self._requests = Requests()

    @property
    def place(self) -> str:
        """The folder."""
        return f"torpor dev {self._session.folder}"

    async def functions(self) -> Sequence[FunctionSeen]:
        """Return every Function of the folder."""
        session = self._session
        rows = session.rows()
        loads = self._requests.kept({row.key: row.load for row in rows}, session.entries)
        answering = [self._answering(replace(row, load=loads[row.key])) for row in rows]
        jobs = [
            FunctionSeen(key.namespace, key.name, "Job", FunctionState.JOB)
            for key, entry in session.entries.items()
            if entry.program.function.job is not None
        ]
        return sorted([*answering, *jobs], key=lambda seen: (seen.namespace, seen.name))

    def _answering(self, row: Row) -> FunctionSeen:
        latest = (
            item
            for item in reversed(self._session.cold_starts.values())
            if item.function == row.key
        )
        return FunctionSeen(
            row.key.namespace,
            row.key.name,
            "Service",
            self._state(row),
            row.replicas,
            row.ready,
            row.wanted,
            row.load.in_flight,
            row.load.queued,
            row.load.held,
            row.load.requests,
            row.reason,
            [ColdStarted(it.total_ms, it.phases) for it in islice(latest, MOST_COLD_STARTS)],
        )

    def _state(self, row: Row) -> FunctionState:
        entry = self._session.entries[row.key]
        if entry.program.function.scaling.paused:
            return FunctionState.PAUSED
        if row.failing and not row.ready:
            return FunctionState.FAILING
        return _STATES[row.state]

    async def executions(self) -> Sequence[ExecutionSeen]:
        """Return the latest executions."""
        engine = self._session.executions
        try:
            found = await engine.latest() if engine else ()
        except LedgerError as error:
            raise Away(f"PostgreSQL: {error}") from error
        return [translating.execution(item, time.time()) for item in found]

    async def runs(self) -> Sequence[Json]:
        """Return the latest runs."""
        found = islice(self._session.runs.traced(), MOST_LISTED)
        return [translating.run(run, traceparent) for run, traceparent in found]

    async def triggers(self) -> Sequence[TriggerSeen]:
        """Return every Trigger, also those that the gateway alone serves."""
        standings = {row.key: row for row in self._session.trigger_rows()}
        return [
            translating.trigger(local.trigger, standings.get(key), is_direct=local.is_direct)
            for key, local in self._session.triggers.items()
        ]

    async def bus(self) -> Sequence[EventSeen]:
        """Return the latest events."""
        role = self._events()
        return await role.latest() if role else ()

    async def cost(self) -> Json | None:
        """Return the bill of this run."""
        return bill_json([generate_latest(REGISTRY).decode()], "", time.time())

    async def traces(self) -> Sequence[Json]:
        """Return the latest traces."""
        return [found.as_json() for found in self._session.spans.latest(MOST_LISTED)]

    async def execution(self, arn: str) -> Json:
        """Return an execution."""
        engine = self._session.executions
        if engine is None:
            raise NotThere("there is no Workflow here")
        return await execution_json(StepFunctions(execution_api(self._http, engine.url)), arn)

    async def trace(self, trace_id: str) -> Json:
        """Return a trace."""
        return translating.trace(self._session.spans, trace_id)

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        """Return dead letters of a Trigger."""
        return await self._events_role().dead_letters(trigger, after)

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        """Deliver dead letters of a Trigger again."""
        return await self._events_role().redrive(trigger, after, last)

    async def compare(self, query: Mapping[str, str]) -> Json:
        """Compare what a load costs."""
        return comparison_json(query)

    def _events(self) -> EventsRole | None:
        """The internal API of the events role; None where there is none, Away if it is not up."""
        events = self._session.events
        if events is None:
            return None
        if not events.admin:
            raise Away("the events role has not started yet")
        return EventsRole(Role(self._http, "the events role", events.admin, events.token))

    def _events_role(self) -> EventsRole:
        role = self._events()
        if role is None:
            raise NotThere("no Trigger here needs the events role, so there are no dead letters")
        return role


@asynccontextmanager
async def sources_of(session: Session) -> AsyncIterator[SessionSources]:
    """Have the sources of a session inside the block."""
    async with aiohttp.ClientSession() as http:
        yield SessionSources(session, http)
