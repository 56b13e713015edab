"""Tells of runs: in the Job's annotation, in Events and in metrics."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torpor.errors import ApiError, InvalidResource
from torpor.functions.runs.seen import RunJob, RunPod
from torpor.functions.runs.state import Counted, seconds_of
from torpor.functions.usage import tell_size
from torpor.platform.kubernetes import EventType, KubernetesApi, Recorder, Selection
from torpor.platform.kubernetes.resources import EVENTS, JOBS
from torpor.resources.function import Function
from torpor.resources.names import (
    ANNOTATION_RUN,
    ANNOTATION_RUN_COUNTED,
    MANAGER_CONTROLLER,
    FunctionKey,
)
from torpor.resources.reserved import reserved
from torpor.resources.run import Run, RunState
from torpor.telemetry import metrics

LOG = logging.getLogger(__name__)

_OBSTACLE = "FailedCreate"
"""The reason of the Event in which Kubernetes says that it may not make a Job's pods."""


class Teller:
    """Writes for one leader. `function` returns a Function object, for its Events."""

    def __init__(
        self,
        api: KubernetesApi,
        recorder: Recorder,
        function: Callable[[FunctionKey], Mapping[str, Any] | None],
    ) -> None:
        self._api = api
        self._recorder = recorder
        self._function = function
        self._shown: set[FunctionKey] = set()
        self._odd: set[str] = set()

    async def write(self, job: RunJob, run: Run, counted: Counted) -> None:
        """Put the run into its Job; ApiNotFound or ApiConflict if the Job is gone."""
        text = json.dumps(run.to_json(), separators=(",", ":"), ensure_ascii=False)
        notes = {ANNOTATION_RUN: text, ANNOTATION_RUN_COUNTED: counted.until}
        body = {"metadata": {"uid": job.uid, "annotations": notes}}
        await self._api.patch(JOBS, job.key.namespace, job.id, body, manager=MANAGER_CONTROLLER)

    async def announce(
        self, job: RunJob, before: Run | None, now: Run, pods: Iterable[RunPod]
    ) -> None:
        """Tell people and metrics what turned."""
        state = before.state if before else RunState.PENDING
        if now.state is state:
            return
        if now.state.is_final:
            self._count_ended(now, pods)
        told = f"the run {now.id} is {now.state.value}"
        note = f"{told}: {now.message}" if now.message else told
        LOG.info(note, extra={"fields": {"function": str(now.key), "reason": now.reason}})
        kind = EventType.WARNING if now.state is RunState.FAILED else EventType.NORMAL
        regarding = self._regarding(job)
        await self._recorder.record(regarding, kind, f"Run{now.state.value}", note, action="Run")

    async def obstacle(self, job: RunJob) -> str:
        """Return why Kubernetes makes no pods for the Job, in its words; empty if it says none."""
        fields = f"regarding.uid={job.uid},reason={_OBSTACLE}"
        try:
            found = await self._api.list(Selection(EVENTS, job.key.namespace, fields=fields))
        except ApiError as error:
            LOG.warning("the Events of a run's Job cannot be read: %s", error)
            return ""
        notes = [str(item.get("note") or "") for item in found.items]
        return notes[-1] if notes else ""

    def show(self, jobs: Iterable[tuple[RunJob, Run]]) -> None:
        """Set the gauges to these, which are all the runs there are."""
        active: dict[FunctionKey, list[float | None]] = defaultdict(list)
        odd: set[str] = set()
        for job, run in jobs:
            if job.is_over:
                continue
            try:
                ratio = None if run.progress is None else run.progress["ratio"]
                active[job.key].append(None if ratio is None else float(ratio))
            except (ArithmeticError, LookupError, TypeError, ValueError):
                active[job.key].append(None)
                odd.add(job.uid)
                self._tell_odd(job)
        self._odd = odd
        for key in self._shown - active.keys():
            metrics.RUNS_ACTIVE.labels(key.namespace, key.name).set(0)
            metrics.RUN_PROGRESS.labels(key.namespace, key.name).set(0)
        for key, found in active.items():
            ratios = [ratio for ratio in found if ratio is not None]
            mean = sum(ratios) / len(ratios) if ratios else 0.0
            metrics.RUNS_ACTIVE.labels(key.namespace, key.name).set(len(found))
            metrics.RUN_PROGRESS.labels(key.namespace, key.name).set(mean)
        self._shown = set(active)

    def _tell_odd(self, job: RunJob) -> None:
        """Say once of a run that its progress is none: it must not hide how the others are."""
        if job.uid not in self._odd:
            fields = {"function": str(job.key), "run": job.id}
            LOG.warning("the progress of a run cannot be read", extra={"fields": fields})

    def _count_ended(self, run: Run, pods: Iterable[RunPod]) -> None:
        self._tell_size(run.key)
        names = (run.key.namespace, run.key.name)
        metrics.RUNS_FINISHED.labels(*names, run.state.value).inc()
        unseen = run.pod_seconds
        for pod in pods:
            outcome = "succeeded" if pod.exit_code == 0 else "lost"
            metrics.RUN_POD_SECONDS.labels(*names, outcome).inc(seconds_of(pod))
            unseen -= seconds_of(pod)
        metrics.RUN_POD_SECONDS.labels(*names, "unseen").inc(max(0.0, round(unseen, 1)))

    def _tell_size(self, key: FunctionKey) -> None:
        found = self._function(key)
        if found is None:
            return
        try:
            function = Function.parse(found)
        except InvalidResource:
            return  # nobody understands it: its runs are of what was told before
        tell_size(key, reserved(function))

    def _regarding(self, job: RunJob) -> Mapping[str, Any]:
        """Return the Function, where its people look, or the Job of one that is gone."""
        function = self._function(job.key)
        if function is None:
            return job.reference
        return {"apiVersion": "torpor.dev/v1alpha1", "kind": "Function", **function}
