"""The HTTP side of the execution API: AWS JSON 1.0 on one path, any Host.

| request | answer |
| --- | --- |
| POST / with `X-Amz-Target: AWSStepFunctions.<call>` | the call's |
| GET /healthz | 200: the process serves |

A request is let in when it is signed with a known key or brings the bearer token; where neither is
configured all are. While PostgreSQL is away calls are refused with 503 and Retry-After.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from torpor.aws.access import Access
from torpor.aws.errors import Refused
from torpor.aws.http import DEFECT, Dialect, parsed, read_plain_body, signed
from torpor.aws.shapes import check
from torpor.workflows.ledger.base import InvalidToken, LedgerAway
from torpor.workflows.stepfunctions import (
    activities,
    aliases,
    execution_lists,
    executions,
    machine_views,
    machines,
    map_runs,
    state_testing,
    tags,
    tasks,
    validation,
    versions,
)
from torpor.workflows.stepfunctions.errors import invalid_token
from torpor.workflows.stepfunctions.service import Action, Service

BODY_SECONDS = 30
"""How long a client may take to send its request."""
_DIALECT = Dialect("application/x-amz-json-1.0", "com.amazonaws.swf.service.v2.model#")
_TARGET = "AWSStepFunctions."
_log = logging.getLogger(__name__)

ACTIONS: Mapping[str, Action] = {
    **activities.ACTIONS,
    **aliases.ACTIONS,
    **execution_lists.ACTIONS,
    **executions.ACTIONS,
    **machine_views.ACTIONS,
    **machines.ACTIONS,
    **map_runs.ACTIONS,
    **state_testing.ACTIONS,
    **tags.ACTIONS,
    **tasks.ACTIONS,
    **validation.ACTIONS,
    **versions.ACTIONS,
}


class Server:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        settings = service.settings
        self._access = Access(dict(settings.credentials), settings.token)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        self._runner = web.AppRunner(
            self.app(),
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,  # what is signed is the body as it was sent
            shutdown_timeout=self._service.settings.drain_seconds,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; calls that go on longer than `drain_seconds` are cancelled."""
        if self._runner:
            await self._runner.cleanup()

    def app(self) -> web.Application:
        """The application, for a process that serves it beside something else."""
        app = web.Application(client_max_size=self._service.settings.most_request_bytes)
        app.router.add_post("/", self._call)
        app.router.add_get("/healthz", _healthz)
        return app

    async def _call(self, request: web.Request) -> web.Response:
        request_id = self._service.outside.uuid()
        try:
            answer = await self._answer(request)
        except Refused as refused:
            return _DIALECT.refusal(refused, request_id)
        except InvalidToken:
            return _DIALECT.refusal(invalid_token(), request_id)
        except LedgerAway:
            return _DIALECT.refusal(_AWAY, request_id)
        except Exception:
            _log.exception("call %s failed", request.headers.get("X-Amz-Target"))
            return _DIALECT.refusal(DEFECT, request_id)
        return _DIALECT.response(answer, request_id)

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        body = await read_plain_body(request, BODY_SECONDS)
        self._access.check(signed(request, body), self._service.outside.now())
        action = _action(request)
        return await action.run(self._service, check(action.shape, parsed(body)))


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _action(request: web.Request) -> Action:
    target = request.headers.get("X-Amz-Target", "")
    action = ACTIONS.get(target.removeprefix(_TARGET)) if target.startswith(_TARGET) else None
    if action is None:
        raise Refused("UnknownOperationException", f"Unknown operation: '{target}'")
    return action


_AWAY = Refused(
    "ServiceUnavailable",
    "The ledger cannot be reached: nothing was changed, try again.",
    HTTPStatus.SERVICE_UNAVAILABLE,
)
