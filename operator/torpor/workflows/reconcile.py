"""Brings one Workflow into the engine, and what the engine says of it into its status.

Level-triggered: it looks at the object and at what the engine last told, never at what happened.
Nothing to change: no call that writes. There is no finalizer: a Workflow that is gone is one whose
machine the engine still has, and the machine itself knows what its deletion policy was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from torpor.errors import ApiNotFound, InvalidResource
from torpor.platform.kubernetes.resources import CONFIG_MAPS, WORKFLOWS, Resource
from torpor.platform.kubernetes.statuses import News, Notices, Statuses
from torpor.resources.conditions import (
    CONFIG_MAP_MISSING,
    INVALID_SPEC,
    Problem,
)
from torpor.resources.names import FunctionKey
from torpor.resources.workflow import DeletionPolicy, Workflow, WorkflowType
from torpor.workflows.asl.frontier import Status
from torpor.workflows.machines import (
    DefinitionRefused,
    EngineAway,
    MachineDeleting,
    Standing,
    Wanted,
    workflow_key,
)
from torpor.workflows.records import MachineStatus, MachineType, Options
from torpor.workflows.status import (
    EARLIER_ONE_ENDS,
    ENGINE_AWAY,
    ENGINE_NOT_INSTALLED,
    INVALID_DEFINITION,
    status,
)

LOG = logging.getLogger(__name__)
AGAIN_SECONDS = 5.0
"""When to try again what only time mends: an engine that is away, an earlier machine that ends."""

Json = dict[str, Any]


class Api(Protocol):
    """What reconciling needs of the Kubernetes API; KubernetesApi has it."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object; ApiNotFound if there is none."""
        ...

    async def apply_status(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply of the status."""
        ...


class Engine(Protocol):
    """The engine as the controller sees it; Machines is one. Its errors are those of `machines`."""

    async def put(self, key: FunctionKey, wanted: Wanted) -> Standing:
        """Have the machine be as wanted."""
        ...

    async def delete(self, key: FunctionKey) -> None:
        """Delete the machine."""
        ...


class WorkflowReconciler:
    """Reconciles Workflows one by one; keeps what the engine told, so as to ask it once.

    `engine` is None where none is installed.
    """

    def __init__(
        self, api: Api, engine: Engine | None, notices: Notices, *, wall: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._engine = engine
        self._statuses = Statuses(api, notices, WORKFLOWS, News())
        self._wall = wall
        self._standing: dict[FunctionKey, Standing] = {}
        self._in_force: dict[FunctionKey, Wanted] = {}
        self._code_of: dict[FunctionKey, str] = {}
        self._known: set[FunctionKey] = set()

    def surveyed(self, found: Iterable[Standing]) -> Sequence[FunctionKey]:
        """Take what the engine told of all its machines; return the Workflows that concerns.

        Those are the ones whose counts moved, whose machine is not the one that was put there (a
        ledger that was restored), and machines whose Workflow is not known to exist.
        """
        now = {workflow_key(item.name): item for item in found if item.workflow_uid is not None}
        lost = self._in_force.keys() - now.keys()
        for key, standing in now.items():
            before = self._standing.get(key)
            if before and before.revision != standing.revision:
                self._in_force.pop(key, None)
        for key in lost:
            del self._in_force[key]
        concerned = [key for key, standing in now.items() if self._concerns(key, standing)]
        self._standing = now
        return [*lost, *concerned]

    def users_of(self, namespace: str, config_map: str) -> Sequence[FunctionKey]:
        """Return the Workflows whose definition is in that ConfigMap."""
        return [
            key
            for key, name in self._code_of.items()
            if (key.namespace, name) == (namespace, config_map)
        ]

    async def reconcile(self, key: FunctionKey) -> float | None:
        """Bring one Workflow up to date; return after how many seconds to look again, if at all.

        ApiError when the API refused or is away, EngineAway when a machine could not be deleted:
        try again later.
        """
        try:
            obj = await self._api.get(WORKFLOWS, key.namespace, key.name)
        except ApiNotFound:
            await self._gone(key)
            return None
        self._known.add(key)
        if obj["metadata"].get("deletionTimestamp"):
            return None  # somebody's finalizer keeps it; when it goes there is an event
        problem = await self._bring(key, obj)
        told = status(obj, self._standing.get(key), problem, self._wall())
        if told != (obj.get("status") or {}) and await self._statuses.write(obj, told) is not None:
            await self._statuses.announce(obj, told)
        return AGAIN_SECONDS if problem and not problem.final else None

    async def _bring(self, key: FunctionKey, obj: Json) -> Problem | None:
        if self._engine is None:
            text = "no engine is installed: install the chart with workflows.enabled=true"
            return Problem(ENGINE_NOT_INSTALLED, text, final=True)
        try:
            wanted = await self._wanted(Workflow.parse(obj))
        except InvalidResource as error:
            return Problem(INVALID_SPEC, str(error), final=True)
        except ApiNotFound as error:
            return Problem(CONFIG_MAP_MISSING, str(error), final=True)
        if self._in_force.get(key) == wanted:
            return None
        return await self._put(self._engine, key, wanted)

    async def _put(self, engine: Engine, key: FunctionKey, wanted: Wanted) -> Problem | None:
        try:
            self._standing[key] = await engine.put(key, wanted)
        except DefinitionRefused as error:
            return Problem(INVALID_DEFINITION, str(error), final=True)
        except MachineDeleting as error:
            return Problem(EARLIER_ONE_ENDS, str(error), final=False)
        except EngineAway as error:
            LOG.warning("no engine took %s: %s", key, error)
            text = f"no engine took the definition; it is tried again every {AGAIN_SECONDS:g} s"
            return Problem(ENGINE_AWAY, text, final=False)
        self._in_force[key] = wanted
        return None

    async def _wanted(self, workflow: Workflow) -> Wanted:
        return Wanted(
            definition=await self._definition(workflow),
            type=_TYPES[workflow.type],
            options=options_of(workflow),
        )

    async def _definition(self, workflow: Workflow) -> str:
        reference = workflow.definition_from
        if reference is None:
            self._code_of.pop(workflow.key, None)
            return json.dumps(workflow.definition, ensure_ascii=False)
        self._code_of[workflow.key] = reference.name
        try:
            found = await self._api.get(CONFIG_MAPS, workflow.key.namespace, reference.name)
        except ApiNotFound:
            text = f"there is no ConfigMap {reference.name} in {workflow.key.namespace}"
            raise ApiNotFound(404, "NotFound", text) from None
        texts: Mapping[str, str] = found.get("data") or {}
        if reference.key not in texts:
            problem = f"the ConfigMap {reference.name} has no key {reference.key}"
            raise InvalidResource("spec.definitionFrom.configMapKeyRef.key", problem)
        return texts[reference.key]

    async def _gone(self, key: FunctionKey) -> None:
        self._known.discard(key)
        self._in_force.pop(key, None)
        self._code_of.pop(key, None)
        if self._engine is not None:
            await self._engine.delete(key)

    def _concerns(self, key: FunctionKey, standing: Standing) -> bool:
        if key in self._known:
            return standing != self._standing.get(key)
        return is_to_go(standing)


_TYPES = {
    WorkflowType.STANDARD: MachineType.STANDARD,
    WorkflowType.EXPRESS: MachineType.EXPRESS,
}


def options_of(workflow: Workflow) -> Options:
    """Return what a Workflow asks for besides its definition."""
    concurrency = workflow.concurrency
    return Options(
        namespace=workflow.key.namespace,
        resources=workflow.resources,
        concurrency_limit=concurrency.limit if concurrency else None,
        concurrency_key=concurrency.key if concurrency else None,
        retention_days=workflow.retention_days,
        timeout_seconds=workflow.timeout_seconds,
        logging={
            "level": workflow.logging.level.value,
            "includeExecutionData": workflow.logging.include_execution_data,
        },
        tracing={"enabled": workflow.tracing},
        workflow_uid=workflow.uid,
        deletion_policy=workflow.deletion_policy.value,
    )


def is_to_go(standing: Standing) -> bool:
    """Whether a machine without a Workflow is not yet on its way out."""
    if standing.status is MachineStatus.ACTIVE:
        return True
    stops = standing.deletion_policy == DeletionPolicy.STOP.value
    return stops and standing.counts.get(Status.RUNNING, 0) > 0
