"""Tasks that are runs of Job Functions: `torpor:job`, ECS's, Batch's and EKS's.

A run is asked for at the gateway with the task's key as `Idempotency-Key`, so that asking again,
also after the engine was killed, gives the same run. Its input is the task's arguments. With
`.sync` the run is followed until it is final, and cancelled when nobody waits for it any more; both
ask for the run that there is under the key, and start none.

A Function that has as many runs as it may have (429) is asked again until there is room, as a queue
of AWS Batch would wait; the task's TimeoutSeconds bounds it. A gateway that is away is asked again
for five minutes, also to cancel a run.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

import orjson

from torpor.expressions.values import json_text
from torpor.invoke import GatewayAway, InvokeTimeout, Response
from torpor.resources.names import FunctionKey
from torpor.resources.run import MAX_IDEMPOTENCY_KEY, Run, RunState, run_location
from torpor.workflows.asl.events import Input
from torpor.workflows.asl.resource import function_name
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations import job_shapes
from torpor.workflows.engine.integrations.functions import Invokes
from torpor.workflows.engine.integrations.outcomes import (
    answered,
    arguments,
    failed,
    metadata,
    succeeded,
)

log = logging.getLogger(__name__)

JOB_SERVICES = ("job", "ecs", "batch", "eks")
WAIT_SECONDS = 20
"""How long one question for the end of a run stays open."""
PATIENCE_SECONDS = 300.0
"""How long a gateway may be away."""
_ANSWER_SECONDS = 30.0
_LEAST_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_QUOTED = 2_000
_PASSING = (
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


class Asks(Invokes, Protocol):
    """What starts runs and asks for them: `torpor.invoke.Invoker`."""

    async def ask(self, method: str, path: str, timeout_seconds: float) -> Response:
        """Return the answer to a request at a path of the gateway's own."""


class _Refused(Exception):
    """The run was not taken; `error` is the name of the task's failure."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(cause)
        self.error = error


class _Pauses:
    """Growing pauses, and the time for which a gateway has been away."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE_SECONDS
        self._away_since: float | None = None

    def met(self) -> None:
        """Note that the gateway answered."""
        self._away_since = None

    def over(self) -> None:
        """Note that there is nothing to pause for any more."""
        self._next = _FIRST_PAUSE_SECONDS

    async def away(self, error: str, why: str) -> None:
        """Pause, as the gateway is away; _Refused when it was for too long."""
        now = asyncio.get_running_loop().time()
        since = self._away_since = now if self._away_since is None else self._away_since
        if now - since > PATIENCE_SECONDS:
            raise _Refused(error, f"{why} (tried for {PATIENCE_SECONDS:g} s)")
        await self.one()

    async def one(self, asked_seconds: float = 0.0) -> None:
        """Pause, for as long as asked if that is longer."""
        await asyncio.sleep(max(self._next, min(asked_seconds, _LONGEST_PAUSE_SECONDS)))
        self._next = min(self._next * 2, _LONGEST_PAUSE_SECONDS)


class Jobs:
    """Does `torpor:job`, `ecs:runTask`, `batch:submitJob` and `eks:runJob`."""

    def __init__(self, gateway: Asks) -> None:
        self._gateway = gateway

    async def run(self, job: Job) -> Input | None:
        """Have the run, which there may be already."""
        resource = job.dispatch.resource
        if resource.action == "call":
            cause = f"{resource.text} is not supported: a Job Function's run is eks:runJob."
            return failed(job, "States.TaskFailed", cause)
        try:
            accepted = await self._started(job)
        except _Refused as refused:
            return failed(job, refused.error, str(refused))
        told = job_shapes.taken(resource.service, arguments(job), accepted)
        return answered(job, told if resource.service == "job" else {**told, **metadata(job.key)})

    async def follow(self, job: Job) -> Input:
        """Wait for the end of the run."""
        service, pauses = job.dispatch.resource.service, _Pauses()
        clock = asyncio.get_running_loop().time
        try:
            known = await self._known(job)
            location = run_location(known.key.namespace, known.id)
            while True:
                began = clock()
                run = await self._looked(service, location, pauses)
                if run is not None and run.state.is_final:
                    return _end(job, run)
                # Who answers at once, as one does that ends, is not asked without a pause.
                await asyncio.sleep(max(0.0, began + _LEAST_SECONDS - clock()))
        except _Refused as refused:
            return failed(job, refused.error, str(refused))

    async def abandon(self, job: Job) -> None:
        """Cancel the run, if there is one: nobody waits for it any more."""
        try:
            response = await self._patient(job, "DELETE")
        except _Refused as error:
            log.warning("%s: its run was not cancelled: %s", job.key, error)
            return
        if response.status >= HTTPStatus.BAD_REQUEST and response.status != HTTPStatus.NOT_FOUND:
            log.warning("%s: its run was not cancelled: %s", job.key, _detail(response))

    async def _known(self, job: Job) -> Run:
        """Return the run that was started; _Refused when it is not there any more."""
        response = await self._patient(job, "GET")
        if response.status != HTTPStatus.OK:
            raise _Refused("States.TaskFailed", f"the task's run: {_detail(response)}")
        return _run(f"the run of {job.key}", response)

    async def _patient(self, job: Job, method: str, body: bytes = b"") -> Response:
        """Return the answer of a gateway that is there and not busy; _Refused where none is."""
        service = job.dispatch.resource.service
        key, pauses = _key(job), _Pauses()
        while True:
            try:
                response = await self._gateway.invoke(
                    key, method, "/", _headers(job), body, _ANSWER_SECONDS
                )
            except (GatewayAway, InvokeTimeout) as error:
                await pauses.away(job_shapes.error_name(service, None), str(error))
                continue
            if response.status in _PASSING:
                why = _detail(response)
                await pauses.away(job_shapes.error_name(service, response.status), why)
                continue
            pauses.met()
            if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                return response
            await pauses.one(_retry_after(response))

    async def _started(self, job: Job) -> Mapping[str, Any]:
        """Return the id and location of the task's run; _Refused when there can be none."""
        response = await self._patient(job, "POST", _input(job))
        return _accepted(job.dispatch.resource.service, _key(job), response)

    async def _looked(self, service: str, location: str, pauses: _Pauses) -> Run | None:
        """Return the run when it is final or some seconds have passed, None without an answer."""
        error = job_shapes.error_name(service, None)
        path = f"{location}?wait={WAIT_SECONDS}"
        try:
            response = await self._gateway.ask("GET", path, WAIT_SECONDS + _ANSWER_SECONDS)
        except (GatewayAway, InvokeTimeout) as away:
            await pauses.away(error, str(away))
            return None
        if response.status in _PASSING:
            await pauses.away(error, _detail(response))
            return None
        pauses.met()
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            await pauses.one(_retry_after(response))
            return None
        pauses.over()
        if response.status != HTTPStatus.OK:
            raise _Refused("States.TaskFailed", f"the run at {location}: {_detail(response)}")
        return _run(location, response)


def _run(location: str, response: Response) -> Run:
    try:
        return Run.from_json(_object(response.body))
    except (LookupError, TypeError, ValueError) as error:
        raise _Refused("States.TaskFailed", f"{location} tells of no run: {error!r}") from error


def _end(job: Job, run: Run) -> Input:
    told = job_shapes.ended(job.dispatch.resource.service, arguments(job), run)
    if run.state is RunState.SUCCEEDED:
        return succeeded(job, told)
    error = job_shapes.failure_name(job.dispatch.resource.service, run)
    return failed(job, error, json_text(told))


def _key(job: Job) -> FunctionKey:
    """The Function that a task's name means; _Refused where none can."""
    resource, options = job.dispatch.resource, job.machine.options
    name = job_shapes.named(resource, arguments(job))
    error = job_shapes.error_name(resource.service, HTTPStatus.BAD_REQUEST)
    if name is None:
        raise _Refused(error, job_shapes.missing_name(resource.service))
    plain = job_shapes.short(name)
    mapped = (options.resources.get(text) for text in (resource.text, name, plain))
    found = next((one for one in mapped if one), None) or function_name(plain)
    if found is None or "/" in found:
        cause = f"{name!r} cannot be the name of a Function: map it in spec.resources."
        raise _Refused(error, cause)
    return FunctionKey(options.namespace, found)


def _headers(job: Job) -> dict[str, str]:
    key = job.key
    if len(key) > MAX_IDEMPOTENCY_KEY:
        key = hashlib.sha256(key.encode()).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "X-Torpor-Execution": job.execution.arn,
    }
    if job.trace:
        headers["traceparent"] = job.trace
    return headers


def _input(job: Job) -> bytes:
    return job.dispatch.argument.text.encode()


def _accepted(service: str, key: FunctionKey, response: Response) -> Mapping[str, Any]:
    found = _object(response.body)
    if response.status == HTTPStatus.ACCEPTED and {"id", "location"} <= found.keys():
        return found
    if response.status < HTTPStatus.BAD_REQUEST:
        text = f"{key} is no Job Function: it answered {response.status} (spec.workload: Job)"
        raise _Refused(job_shapes.error_name(service, HTTPStatus.BAD_REQUEST), text)
    raise _Refused(job_shapes.error_name(service, response.status), _detail(response))


def _detail(response: Response) -> str:
    found = _object(response.body)
    said = found.get("detail") or response.body[:_QUOTED].decode(errors="replace")
    return str(said or f"status {response.status}")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(response: Response) -> float:
    found = (v for k, v in response.headers.items() if k.lower() == "retry-after")
    text = next(found, "")
    return float(text[:6]) if text.isascii() and text.isdigit() else 0.0
