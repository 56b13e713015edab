"""The Jobs of all runs, watched by every replica: asked for by name, and waited on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping

from torpor.functions.runs.seen import RunJob, run_job_seen
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import JOBS
from torpor.resources.names import LABEL_RUN, FunctionKey


class RunWatch:
    """True while its `reflector` runs. An empty namespace means all.

    `told` is called with a run's Job before and after each change, None for what is not there.
    """

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        told: Callable[[ObjectKey, RunJob | None, RunJob | None], None],
    ) -> None:
        self._told = told
        self._runs_of: dict[FunctionKey, set[ObjectKey]] = defaultdict(set)
        self._waiting: dict[ObjectKey, set[asyncio.Event]] = defaultdict(set)
        self.reflector = Reflector[RunJob](
            api, Selection(JOBS, namespace, LABEL_RUN), run_job_seen, self._changed
        )

    def get(self, namespace: str, run: str) -> RunJob | None:
        """Return the Job of a run as last seen."""
        return self.reflector.get(namespace, run)

    def all(self) -> Mapping[ObjectKey, RunJob]:
        """Return the Jobs of all runs."""
        return self.reflector.items()

    def of(self, function: FunctionKey) -> list[RunJob]:
        """Return the Jobs of a function's runs."""
        found = (self.get(key.namespace, key.name) for key in self._runs_of.get(function, ()))
        return [job for job in found if job is not None]

    async def changed(self, key: ObjectKey, version: str, seconds: float) -> None:
        """Wait until the Job is another than that of `version`, at most so long."""
        event = asyncio.Event()
        self._waiting[key].add(event)
        try:
            seen = self.get(key.namespace, key.name)
            if seen is not None and seen.version != version:
                return
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _changed(self, key: ObjectKey, old: RunJob | None, new: RunJob | None) -> None:
        if old:
            self._runs_of[old.key].discard(key)
            if not self._runs_of[old.key]:
                del self._runs_of[old.key]
        if new:
            self._runs_of[new.key].add(key)
        for event in self._waiting.get(key, ()):
            event.set()
        self._told(key, old, new)
