"""The internal HTTP API of an engine: which machines the cluster asks for, and what they do.

| method and path | what |
| --- | --- |
| GET /v1/machines | every machine, with the number of its executions by status |
| PUT /v1/machines/<name> | have the machine be as the body says |
| DELETE /v1/machines/<name> | delete it, if a Workflow asked for it |
| GET /v1/executions | the latest executions of all machines, and the states that they are in |

It is on a port of its own and asks for the installation's internal token, so that whoever may start
executions may not change definitions. Errors are problem details (RFC 9457) with a `code`.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from torpor.resources.tokens import bearer, internal_token, matches
from torpor.resources.workflow import DeletionPolicy
from torpor.workflows.admission import check_admission
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.validate import create_error
from torpor.workflows.asl.validate.answer import INVALID_DEFINITION
from torpor.workflows.beside import check_beside
from torpor.workflows.engine.base import Api
from torpor.workflows.latest import LATEST_PATH, latest
from torpor.workflows.ledger.base import AlreadyExists, Ledger, LedgerAway, NotFound
from torpor.workflows.machines import DELETING, PATH, Standing, Wanted
from torpor.workflows.records import Execution, Machine, MachineStatus, Page

MAX_BODY_BYTES = 8 << 20
"""A definition has at most 1 MiB of characters, escaped at worst to six bytes each."""
PAGE = 500
STOPS_AT_ONCE = 64
RETRY_AFTER_SECONDS = 2
STOPPED_BY = ("Torpor.WorkflowDeleted", "The Workflow was deleted with deletionPolicy Stop")
ROLE_ARN = "arn:aws:iam::123456789012:role/torpor"
"""A machine must have a role in AWS's API; here nobody takes it on."""


class MachineAdmin:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`.

    `arn_of` makes a machine's ARN of its name; `wall` is the time of day in seconds;
    `payload_bytes` is the quota of inputs and outputs, None for no quota.
    """

    def __init__(
        self,
        ledger: Ledger,
        api: Api,
        key: bytes,
        *,
        arn_of: Callable[[str], str],
        wall: Callable[[], float],
        payload_bytes: int | None = None,
        new_revision: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._token = internal_token(key)
        self._arn_of = arn_of
        self._wall = wall
        self._payload_bytes = payload_bytes
        self._new_revision = new_revision
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        app = web.Application(
            client_max_size=MAX_BODY_BYTES, middlewares=[_problems, self._only_with_token]
        )
        app.router.add_get(PATH, self._survey)
        app.router.add_put(PATH + "/{name}", self._put)
        app.router.add_delete(PATH + "/{name}", self._delete)
        app.router.add_get(LATEST_PATH, self._latest)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _only_with_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not matches(self._token, bearer(request.headers.get("Authorization", ""))):
            return _problem(HTTPStatus.FORBIDDEN, "Forbidden", "the internal token is missing")
        return await handler(request)

    # What is asked

    async def _survey(self, _: web.Request) -> web.Response:
        found = [standing async for page in self._machines() for standing in await self._all(page)]
        return web.json_response({"machines": [item.to_json() for item in found]})

    async def _put(self, request: web.Request) -> web.Response:
        wanted = self._within_quota(Wanted.from_json(await request.json()))
        check = partial(check_admission, wanted.definition, wanted.type)
        problems = await check_beside(wanted.definition, check)
        if problems:
            code, message = create_error(problems, wanted.definition)
            return _problem(HTTPStatus.BAD_REQUEST, code, message)
        machine = await self._known(request)
        if machine is not None and machine.status is MachineStatus.DELETING:
            text = f"{machine.arn} is being deleted and still has running executions"
            return _problem(HTTPStatus.CONFLICT, DELETING, text)
        if machine is not None and machine.type is not wanted.type:
            text = (
                f"the type of {machine.name} is {machine.type.value} and cannot change: delete the "
                "Workflow, or give the other one a name of its own"
            )
            return _problem(HTTPStatus.CONFLICT, INVALID_DEFINITION, text)
        if machine is None or not _is_as_wanted(machine, wanted):
            latest = machine.revision_id if machine else None
            next = self._next(request, wanted, machine)
            machine = await self._ledger.put_machine(next, latest)
        [standing] = await self._all([machine])
        return web.json_response(standing.to_json())

    async def _delete(self, request: web.Request) -> web.Response:
        machine = await self._known(request)
        if machine is not None and machine.options.workflow_uid is not None:
            # First no more starts, then an end to what runs: nothing can come in between.
            await self._ledger.delete_machine(machine.arn)
            if machine.options.deletion_policy == DeletionPolicy.STOP.value:
                await self._stop_all(machine.arn)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _latest(self, _: web.Request) -> web.Response:
        found = await latest(self._ledger)
        return web.json_response({"executions": [item.to_json() for item in found]})

    # What is done

    def _within_quota(self, wanted: Wanted) -> Wanted:
        options = replace(wanted.options, payload_bytes=self._payload_bytes)
        return replace(wanted, options=options)

    def _next(self, request: web.Request, wanted: Wanted, before: Machine | None) -> Machine:
        name, now = request.match_info["name"], self._wall()
        return Machine(
            arn=self._arn_of(name),
            name=name,
            type=wanted.type,
            definition=wanted.definition,
            role_arn=before.role_arn if before else ROLE_ARN,
            created_at=before.created_at if before else now,
            updated_at=now,
            revision_id=self._new_revision(),
            options=wanted.options,
        )

    async def _known(self, request: web.Request) -> Machine | None:
        try:
            return await self._ledger.machine(self._arn_of(request.match_info["name"]))
        except NotFound:
            return None

    async def _machines(self) -> AsyncIterator[Sequence[Machine]]:
        token: str | None = None
        while True:
            page: Page[Machine] = await self._ledger.machines(PAGE, token)
            yield page.items
            if page.next_token is None:
                return
            token = page.next_token

    async def _all(self, machines: Sequence[Machine]) -> list[Standing]:
        counts = await self._ledger.counts_of([machine.arn for machine in machines])
        return [_standing(machine, counts[machine.arn]) for machine in machines]

    async def _stop_all(self, machine_arn: str) -> None:
        token: str | None = None
        while True:
            page: Page[Execution] = await self._ledger.executions(
                machine_arn, Status.RUNNING, STOPS_AT_ONCE, token
            )
            await self._stop_each(page.items)
            if page.next_token is None:
                return
            token = page.next_token

    async def _stop_each(self, executions: Sequence[Execution]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for execution in executions:
                    stop = self._api.stop(execution.arn, *STOPPED_BY)
                    group.create_task(stop, name=f"stop {execution.arn}")
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # all of them say that the ledger is away


def _standing(machine: Machine, counts: Mapping[Status, int]) -> Standing:
    return Standing(
        machine.name,
        machine.arn,
        machine.revision_id,
        machine.status,
        machine.options.workflow_uid,
        machine.options.deletion_policy,
        counts,
    )


def _is_as_wanted(machine: Machine, wanted: Wanted) -> bool:
    return (machine.definition, machine.type, machine.options) == (
        wanted.definition,
        wanted.type,
        wanted.options,
    )


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (ValueError, KeyError, TypeError) as error:
        return _problem(HTTPStatus.BAD_REQUEST, "BadRequest", f"{type(error).__name__}: {error}")
    except NotFound as error:
        return _problem(HTTPStatus.NOT_FOUND, "NotFound", str(error))
    except AlreadyExists as error:  # another request came in between: the caller tries again
        return _problem(HTTPStatus.CONFLICT, "Changed", str(error))
    except LedgerAway as error:
        answer = _problem(HTTPStatus.SERVICE_UNAVAILABLE, "LedgerAway", str(error))
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer


def _problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    body = {"title": status.phrase, "status": status.value, "code": code, "detail": detail}
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/problem+json"
    )
