"""The HTTP server of the API: all ways in on one port.

| request | what |
| --- | --- |
| POST / with `X-Amz-Target: AWSEvents.<call>` or `AmazonSQS.<call>` | `eventbridge.py`, `sqs/` |
| POST /v1/namespaces/<namespace>/buses/<bus>/events, …/queues/<queue>/events | `cloudevents.py` |
| any /v1/namespaces/<namespace>/triggers/<name>, GET …/calls/<id> | `calls.py` |
| POST /v1/namespaces/<namespace>/functions/<name>/calls | `function_calls.py` |
| POST /v1/namespaces/<namespace>/storage | `storage.py` |
| GET /healthz | 200: the process serves |

A request is let in when it is signed with a known key or brings the bearer token; where neither is
configured all are; calls of http Triggers always are. Signatures are AWS's (Signature Version 4),
for every resource. While JetStream is away everything is refused with 503 and Retry-After.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from torpor.aws.errors import Refused
from torpor.aws.http import DEFECT, Dialect, parsed
from torpor.errors import TorporError
from torpor.telemetry.metrics import EVENTS_REFUSED
from torpor.triggers.api import eventbridge
from torpor.triggers.api.bodies import bounded
from torpor.triggers.api.calls import Calls
from torpor.triggers.api.cloudevents import TRACE_HEADER, CloudEvents, admitted
from torpor.triggers.api.eventbridge import EventBridge
from torpor.triggers.api.function_calls import FunctionCalls
from torpor.triggers.api.ingress import Ingress
from torpor.triggers.api.parts import ApiParts, Caller
from torpor.triggers.api.places import Places
from torpor.triggers.api.problems import problems
from torpor.triggers.api.sqs import service as sqs
from torpor.triggers.api.sqs.queues import Queues
from torpor.triggers.api.storage import StorageHook

_log = logging.getLogger(__name__)


class _Service(Protocol):
    async def call(self, action: str, request: Any, caller: Caller) -> dict[str, Any]: ...


class ApiServer:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        places = Places(parts.streams, parts.settings.max_places)
        ingress = Ingress(parts, places)
        queues = Queues(parts, places)
        parts.definitions.listen(queues.heed)
        self._sqs = sqs.Sqs(parts, queues)
        self._services: Mapping[str, tuple[Dialect, _Service]] = {
            eventbridge.TARGET: (eventbridge.DIALECT, EventBridge(parts, ingress)),
            sqs.TARGET: (sqs.DIALECT, self._sqs),
        }
        self._resources = (
            CloudEvents(parts, ingress),
            Calls(parts, ingress),
            FunctionCalls(parts, ingress),
            StorageHook(parts, ingress),
        )
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        self._runner = web.AppRunner(
            self.app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=self._parts.settings.drain_seconds,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; calls that go on longer than `drain_seconds` are cancelled."""
        if self._runner:
            await self._runner.cleanup()
        await self._sqs.close()

    def app(self) -> web.Application:
        """Return the application, for a process that serves it beside something else."""
        settings = self._parts.settings
        bodies = bounded(settings.max_bodies_bytes, settings.max_body_bytes)
        app = web.Application(
            client_max_size=settings.max_body_bytes, middlewares=[problems, bodies]
        )
        app.router.add_post("/", self._aws)
        app.router.add_post("/{account:[0-9]{12}}/{queue}", self._aws)
        app.router.add_get("/healthz", _healthz)
        for resource in self._resources:
            resource.add_routes(app.router)
        return app

    async def _aws(self, request: web.Request) -> web.Response:
        target, separator, action = request.headers.get("X-Amz-Target", "").partition(".")
        found = self._services.get(target + separator)
        if found is None:
            raise web.HTTPNotFound
        dialect, service = found
        request_id = self._parts.new_id()
        key = request.headers.get("Idempotency-Key", "")
        caller = Caller(
            f"{request.scheme}://{request.host}", key, request.headers.get(TRACE_HEADER)
        )
        try:
            body = parsed(await admitted(request, self._parts))
            return dialect.response(await service.call(action, body, caller), request_id)
        except Refused as refused:
            EVENTS_REFUSED.labels(refused.code).inc()
            return dialect.refusal(refused, request_id)
        except TorporError as error:
            EVENTS_REFUSED.labels(error.code).inc()
            return dialect.refusal(_away(error), request_id)
        except Exception:
            _log.exception("call %s%s failed", target, action)
            return dialect.refusal(DEFECT, request_id)


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _away(error: TorporError) -> Refused:
    """The broker is away, or full: clients try again."""
    return Refused("ServiceUnavailable", str(error), HTTPStatus.SERVICE_UNAVAILABLE)
