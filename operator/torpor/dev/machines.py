"""Has the engine of `torpor dev` have the machines that the folder's Workflows ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torpor.dev.workflows import LocalWorkflow
from torpor.resources.names import FunctionKey
from torpor.workflows.machines import (
    DefinitionRefused,
    EngineAway,
    MachineDeleting,
    Machines,
    workflow_key,
)
from torpor.workflows.reconcile import is_to_go

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5


class FolderMachines:
    """Follows the folder through the engine's internal API; outside of `at` it does nothing."""

    def __init__(self) -> None:
        self._machines: Machines | None = None
        self._wanted: Mapping[FunctionKey, LocalWorkflow] = {}
        self._settled: dict[FunctionKey, LocalWorkflow] = {}
        self._told: dict[FunctionKey, str] = {}
        self._late = False
        self._bringing = asyncio.Lock()

    @contextmanager
    def at(self, machines: Machines) -> Iterator[None]:
        """Use this API inside the block."""
        self._machines = machines
        try:
            yield
        finally:
            self._machines = None

    async def follow(self, workflows: Mapping[FunctionKey, LocalWorkflow]) -> None:
        """Have machines of these Workflows and no others; what cannot be is said."""
        self._wanted = workflows
        await self._bring()

    async def catch_up(self) -> None:
        """Try again what could not be done yet, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._late:
                await self._bring()

    async def _bring(self) -> None:
        async with self._bringing:
            wanted, self._late = self._wanted, False
            self._settled = {key: one for key, one in self._settled.items() if key in wanted}
            self._told = {key: text for key, text in self._told.items() if key in wanted}
            try:
                await self._remove_others(wanted)
            except EngineAway as error:
                self._late = True
                log.warning("Workflows that are gone from the folder are still there: %s", error)
            for key, workflow in wanted.items():
                if self._settled.get(key) != workflow:
                    await self._put(key, workflow)

    async def _remove_others(self, workflows: Mapping[FunctionKey, LocalWorkflow]) -> None:
        machines = self._machines
        for standing in await machines.survey() if machines else ():
            if standing.workflow_uid is None:  # made through the execution API
                continue
            key = workflow_key(standing.name)
            if key not in workflows and is_to_go(standing) and self._machines:
                log.info("%s is gone", key)
                await self._machines.delete(key)

    async def _put(self, key: FunctionKey, workflow: LocalWorkflow) -> None:
        if self._machines is None:
            return
        try:
            await self._machines.put(key, workflow.wanted)
        except (EngineAway, MachineDeleting) as error:
            self._late = True
            self._tell_once(key, f"{error}; it is tried again until it can be done")
            return
        except DefinitionRefused as error:
            self._tell_once(key, str(error))
        else:
            if self._told.pop(key, None):
                log.info("%s: the engine has it now", key)
        self._settled[key] = workflow

    def _tell_once(self, key: FunctionKey, problem: str) -> None:
        if self._told.get(key) != problem:
            log.warning("%s: %s", key, problem)
        self._told[key] = problem
