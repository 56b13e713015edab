"""Makes, finds and ends runs: what the gateways ask of whichever replica answers.

A run is made once however often it is asked for: its name follows from what is asked, and the API
server takes a name once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from torpor.errors import ApiConflict, ApiError, ApiNotFound, ApiUnavailable, UnknownFunction
from torpor.functions.runs.code import keep_code, read_code
from torpor.functions.runs.devices import Devices
from torpor.functions.runs.job import RunCode, run_job
from torpor.functions.runs.memory import told_of
from torpor.functions.runs.seen import RunJob, run_job_seen
from torpor.functions.runs.watching import RunWatch
from torpor.functions.runtime_container import UnknownRuntime
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.reflector import ObjectKey
from torpor.platform.kubernetes.resources import JOBS
from torpor.platform.kubernetes.throttle import TokenBucket
from torpor.resources.conditions import timestamp
from torpor.resources.function import Function
from torpor.resources.job import Job
from torpor.resources.names import ANNOTATION_RUN_CANCELLED, MANAGER_CONTROLLER, FunctionKey
from torpor.resources.run import (
    Run,
    RunRefused,
    RunRequest,
    UnknownRun,
    check_inputs,
    run_id,
    unknown_run,
)
from torpor.settings import ControllerSettings
from torpor.telemetry import metrics

LOG = logging.getLogger(__name__)

BUSY_SECONDS = 5
"""When to try again to start a run above reservedConcurrency."""
_UNSEEN_PER_SECOND = 20.0
_UNSEEN_BURST = 100
"""How many runs that the watch does not show are looked for, each with a call."""
_UNSEEN_SECONDS = 30.0
"""How long a Job that was made counts though the watch does not show it."""
_OVER_QUOTA = "exceeded quota:"
"""What Kubernetes' admission of ResourceQuota says, and nothing else does."""
_CANCEL_SECONDS = 1
"""A Job that may take so long no more ends at once, its pods with their grace."""


class RunKeeper:
    """Implements the gateways' `Runs` over Kubernetes. For one event loop."""

    def __init__(
        self,
        api: KubernetesApi,
        watch: RunWatch,
        function: Callable[[FunctionKey], Function | None],
        settings: ControllerSettings,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        """`function` returns a Function as watched.

        `clock` is monotonic and the event loop's; `wall` returns the time of day.
        """
        self._api = api
        self._watch = watch
        self._function = function
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._devices = Devices(api, clock)
        # Whoever reaches a gateway may make names up; the API server must not hear of all of them.
        self._unseen = TokenBucket(_UNSEEN_PER_SECOND, _UNSEEN_BURST, clock)
        self._turns: dict[FunctionKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._made: dict[FunctionKey, dict[str, float]] = defaultdict(dict)

    async def start(self, request: RunRequest) -> str:
        """Make the run, or find the one that there is; return its id.

        Raises UnknownFunction, RunRefused, or ApiError when the API server is away.
        """
        function = self._function(request.key)
        if function is None:
            raise UnknownFunction(f"there is no function {request.key}")
        if function.job is None:
            text = f"{request.key} is no Job Function: send it requests, or write workload: Job"
            raise RunRefused(HTTPStatus.CONFLICT, "not-a-job", text)
        name = run_id(function.key, function.uid, request.idempotency_key)
        if self._watch.get(function.key.namespace, name):
            return name
        check_inputs(request.input, function.job.completions)
        if function.reserved_concurrency is None:
            return await self._make(function, function.job, request)
        async with self._turns[function.key]:
            await self._check_reserved(function, function.reserved_concurrency, name)
            return await self._make(function, function.job, request)

    async def named(self, key: FunctionKey, idempotency_key: str) -> str:
        """Return the id of the run that there is under this key; UnknownRun if there is none.

        Raises UnknownFunction, as a run's name follows from its Function too.
        """
        function = self._function(key)
        if function is None:
            raise UnknownFunction(f"there is no function {key}")
        return (await self._job(key.namespace, run_id(key, function.uid, idempotency_key))).id

    async def find(self, namespace: str, run: str, wait_seconds: float) -> Run:
        """Return the run, at the latest after `wait_seconds`; UnknownRun if there is none."""
        until = self._clock() + wait_seconds
        job = await self._job(namespace, run)
        while True:
            found, left = told_of(job), until - self._clock()
            if found.state.is_final or left <= 0:
                return found
            await self._watch.changed(ObjectKey(namespace, run), job.version, left)
            job = await self._job(namespace, run)

    async def cancel(self, namespace: str, run: str) -> None:
        """Have the run end, if it has not; UnknownRun if there is none."""
        job = await self._job(namespace, run)
        if job.ending or job.cancelled:
            return
        body = {
            "metadata": {
                "uid": job.uid,
                "annotations": {ANNOTATION_RUN_CANCELLED: timestamp(self._wall())},
            },
            # Were a queue to let it begin after all, it would have no pods.
            "spec": {"activeDeadlineSeconds": _CANCEL_SECONDS, "parallelism": 0},
        }
        try:
            await self._api.patch(JOBS, namespace, run, body, manager=MANAGER_CONTROLLER)
        except ApiNotFound:
            raise unknown_run(namespace, run) from None

    async def _make(self, function: Function, job: Job, request: RunRequest) -> str:
        code = await self._code(function, request)
        device = await self._devices.choose(job.gpu)
        try:
            body = run_job(function, job, request, self._settings, device, code)
        except UnknownRuntime as error:
            raise RunRefused(HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error)) from error
        name, namespace = str(body["metadata"]["name"]), function.key.namespace
        try:
            made = run_job_seen(await self._api.create(JOBS, namespace, body))
            if code and made:
                await keep_code(self._api, made, code.content)
        except ApiConflict:
            await self._check_ours(namespace, name)
            return name
        except ApiUnavailable:
            raise
        except ApiError as error:
            raise _refused(error) from error
        if function.reserved_concurrency is not None:
            self._made[function.key][name] = self._clock()
        metrics.RUNS_STARTED.labels(namespace, function.key.name).inc()
        LOG.info("a run is made", extra={"fields": _fields(function, name, request)})
        return name

    async def _code(self, function: Function, request: RunRequest) -> RunCode | None:
        source = function.code.config_map if function.code else None
        if not source:
            return None
        namespace = function.key.namespace
        run = run_id(function.key, function.uid, request.idempotency_key)
        try:
            return await read_code(self._api, namespace, source, run, self._wall())
        except ApiNotFound:
            text = f"spec.code.configMap: there is no ConfigMap {source!r} in this namespace"
            code = "config-map-missing"
            raise RunRefused(HTTPStatus.SERVICE_UNAVAILABLE, code, text) from None

    async def _check_ours(self, namespace: str, name: str) -> None:
        try:
            await self._job(namespace, name)
        except UnknownRun:
            text = f"a Job {name!r} that Torpor did not make is in the way; delete or rename it"
            raise RunRefused(HTTPStatus.CONFLICT, "not-owned", text) from None

    async def _check_reserved(self, function: Function, most: int, name: str) -> None:
        """Refuse one run too many; those that this replica made and has not seen yet count."""
        jobs = {job.id: job for job in self._watch.of(function.key)}
        since = self._clock() - _UNSEEN_SECONDS
        made = self._made[function.key] = {
            run: at
            for run, at in self._made[function.key].items()
            if run not in jobs and at > since
        }
        active = sum(not job.is_over for job in jobs.values()) + len(made)
        if active < most:
            return
        try:
            await self._job(function.key.namespace, name)
        except UnknownRun:
            text = f"{active} runs of {function.key} have not ended; reservedConcurrency is {most}"
            raise RunRefused(
                HTTPStatus.TOO_MANY_REQUESTS, "reserved-concurrency", text, BUSY_SECONDS
            ) from None

    async def _job(self, namespace: str, run: str) -> RunJob:
        """Return the Job as watched, or as it is: one that was just made is not watched yet."""
        seen = self._watch.get(namespace, run)
        if seen:
            return seen
        if self._settings.watch_namespace not in ("", namespace):
            raise unknown_run(namespace, run)
        if not self._unseen.try_take():
            text = "too many runs are asked for that are not known here: ask again"
            raise RunRefused(HTTPStatus.TOO_MANY_REQUESTS, "busy", text, 1)
        try:
            found = run_job_seen(await self._api.get(JOBS, namespace, run))
        except ApiNotFound:
            found = None
        if found is None:
            raise unknown_run(namespace, run)
        return found


def _fields(function: Function, name: str, request: RunRequest) -> dict[str, str]:
    traced = {"traceparent": request.traceparent} if request.traceparent else {}
    return {"function": str(function.key), "run": name, **traced}


def _refused(error: ApiError) -> RunRefused:
    """Return what the API server's refusal of a Job means to who asked for the run."""
    if error.status == HTTPStatus.FORBIDDEN and _OVER_QUOTA in str(error):
        code, status = "quota", HTTPStatus.TOO_MANY_REQUESTS
        return RunRefused(status, code, str(error), BUSY_SECONDS)
    return RunRefused(HTTPStatus.CONFLICT, "job-refused", f"the run's Job is refused: {error}")
