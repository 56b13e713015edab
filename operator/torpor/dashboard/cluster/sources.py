"""What the dashboard of a cluster shows: Kubernetes' objects, and what the roles say themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from torpor.dashboard import translating
from torpor.dashboard.asking import EventsRole, Role, execution_api
from torpor.dashboard.cluster.objects import (
    cold_starts_of,
    function_seen,
    loads_of,
    runs_seen,
    trigger_seen,
)
from torpor.dashboard.cluster.pods import RolePod, gateways, role_pods, scrape
from torpor.dashboard.costing import bill_json, comparison_json
from torpor.dashboard.executions import execution_json
from torpor.dashboard.model import (
    MOST_LISTED,
    EventSeen,
    ExecutionSeen,
    FunctionSeen,
    Json,
    TriggerSeen,
)
from torpor.dashboard.requests import Requests
from torpor.dashboard.sources import Away, NotThere
from torpor.errors import ApiError
from torpor.functions.gateways_http import HttpGateways
from torpor.platform.kubernetes import KubernetesApi, Selection
from torpor.platform.kubernetes.resources import FUNCTIONS, JOBS, TRIGGERS, Resource
from torpor.resources.names import LABEL_RUN, FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import DashboardSettings
from torpor.telemetry.spanstore import SpanStore
from torpor.triggers.standings import EventsAway, Standing, Standings
from torpor.workflows.client import StepFunctions
from torpor.workflows.latest import LATEST_PATH, LatestExecution

_NO_EVENTS: Final = "events are not enabled in this installation"
_NO_WORKFLOWS: Final = "workflows are not enabled in this installation"


@dataclass(slots=True)
class ClusterSources:
    """Implements `Sources`. `key` is the installation's secret; `http` is the caller's."""

    api: KubernetesApi
    http: aiohttp.ClientSession
    settings: DashboardSettings
    spans: SpanStore
    key: bytes = field(repr=False)
    _pods: Sequence[RolePod] = ()
    _gateways: HttpGateways = field(init=False)
    _requests: Requests = field(default_factory=Requests)

    def __post_init__(self) -> None:
        """Make what asks the gateways."""
        self._gateways = HttpGateways(
            self.http,
            lambda: gateways(self._pods),
            internal_token(self.key),
            self.settings.internal_port,
        )

    @property
    def place(self) -> str:
        """The cluster, or the one namespace that is served."""
        served = self.settings.watch_namespace
        return f"cluster, namespace {served}" if served else "cluster"

    async def functions(self) -> Sequence[FunctionSeen]:
        """Return every Function, with its load on all gateways."""
        self._pods = await self._role_pods()
        answers, silent = await self._gateways.loads()
        if silent and not answers:
            raise Away("no gateway answers")
        found = {_key(obj): obj for obj in await self._list(FUNCTIONS)}
        loads = self._requests.kept(loads_of(answers), found)
        cold = cold_starts_of(answers)
        return [function_seen(found[key], loads[key], cold.get(key, ())) for key in sorted(found)]

    async def executions(self) -> Sequence[ExecutionSeen]:
        """Return the latest executions."""
        if not self.settings.engine_url:
            return ()
        token = internal_token(self.key)
        engine = Role(self.http, "the engine", self.settings.engine_url, token)
        told = await engine.call("GET", LATEST_PATH)
        try:
            found = [LatestExecution.from_json(item) for item in told["executions"]]
        except (KeyError, TypeError) as error:
            raise Away(f"the engine answered what cannot be read: {error!r}") from error
        return [translating.execution(item, time.time()) for item in found]

    async def runs(self) -> Sequence[Json]:
        """Return the latest runs."""
        return runs_seen(await self._list(JOBS, LABEL_RUN))[:MOST_LISTED]

    async def triggers(self) -> Sequence[TriggerSeen]:
        """Return every Trigger, as the events role has it."""
        objects = await self._list(TRIGGERS)
        standings = await self._standings() if objects else {}
        return [trigger_seen(obj, standings) for obj in objects]

    async def bus(self) -> Sequence[EventSeen]:
        """Return the latest events."""
        return await self._events().latest() if self.settings.events_url else ()

    async def cost(self) -> Json | None:
        """Return the bill of what all roles counted."""
        texts = await scrape(self.http, await self._role_pods(), self.settings.metrics_port)
        # Reading the metrics of thousands of Functions takes longer than others can wait.
        return await asyncio.to_thread(bill_json, texts, self.settings.prices, time.time())

    async def traces(self) -> Sequence[Json]:
        """Return the latest traces."""
        return [found.as_json() for found in self.spans.latest(MOST_LISTED)]

    async def execution(self, arn: str) -> Json:
        """Return an execution."""
        if not self.settings.engine_api_url:
            raise NotThere(_NO_WORKFLOWS)
        send = execution_api(self.http, self.settings.engine_api_url, self.settings.engine_token)
        return await execution_json(StepFunctions(send), arn)

    async def trace(self, trace_id: str) -> Json:
        """Return a trace."""
        return translating.trace(self.spans, trace_id)

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        """Return dead letters of a Trigger."""
        return await self._events().dead_letters(trigger, after)

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        """Deliver dead letters of a Trigger again."""
        return await self._events().redrive(trigger, after, last)

    async def compare(self, query: Mapping[str, str]) -> Json:
        """Compare what a load costs."""
        return comparison_json(query)

    def _events(self) -> EventsRole:
        if not self.settings.events_url:
            raise NotThere(_NO_EVENTS)
        token = internal_token(self.key)
        return EventsRole(Role(self.http, "the events role", self.settings.events_url, token))

    async def _standings(self) -> Mapping[FunctionKey, Standing]:
        if not self.settings.events_url:
            return {}
        asked = Standings(self.http, self.settings.events_url, internal_token(self.key))
        try:
            return {standing.key: standing for standing in await asked.survey()}
        except EventsAway as error:
            raise Away(f"the events role: {error}") from error

    async def _list(self, kind: Resource, labels: str = "") -> Sequence[Json]:
        try:
            found = await self.api.list(Selection(kind, self.settings.watch_namespace, labels))
        except ApiError as error:
            raise Away(str(error)) from error
        return found.items

    async def _role_pods(self) -> Sequence[RolePod]:
        try:
            return await role_pods(self.api, self.settings.namespace)
        except ApiError as error:
            raise Away(str(error)) from error


def _key(obj: Json) -> FunctionKey:
    return FunctionKey(obj["metadata"]["namespace"], obj["metadata"]["name"])
