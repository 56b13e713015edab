"""Requests to Job Functions and to their runs, behind the data plane.

| request | answer |
| --- | --- |
| POST to a Job Function's address | 202 {"id", "location"}, once the run is made |
| GET or DELETE there with an Idempotency-Key | as below, of the run that there is under the key |
| GET /function/@runs/<namespace>/<id>?wait=<seconds> | the run; with `wait`, once it is final |
| DELETE /function/@runs/<namespace>/<id> | 202: it is being cancelled, or has ended |

Errors are problems (RFC 9457).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

import orjson
from aiohttp import web

from torpor.gateway.dataplane import problems
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.runs.base import Runs
from torpor.gateway.runs.input import input_of, key_of, too_large, trace_of
from torpor.resources.names import HEADER_REQUEST_ID, FunctionKey
from torpor.resources.run import (
    MAX_INPUT_BYTES,
    MAX_WAIT_SECONDS,
    RUNS_PREFIX,
    RunRefused,
    RunRequest,
    UnknownRun,
    run_location,
)

_NAMED = re.compile(f"{RUNS_PREFIX}([a-z0-9-]{{1,63}})/([a-z0-9-]{{1,63}})")
_JSON = "application/json"


class RunsDoor:
    """Answers for `runs`; `new_id` gives names that nobody can guess.

    Both methods raise RunRefused, UnknownRun, UnknownFunction or RunsAway.
    """

    def __init__(self, runs: Runs, new_id: Callable[[], str]) -> None:
        self._runs = runs
        self._new_id = new_id

    async def start(self, request: web.Request, key: FunctionKey, request_id: str) -> web.Response:
        """Answer a request to the function's own address."""
        if request.method in ("GET", "DELETE") and "Idempotency-Key" in request.headers:
            run = await self._runs.named(key, key_of(request.headers, self._new_id))
            return await self._answer(request, request_id, key.namespace, run)
        if request.method != "POST":
            return _not_allowed("POST", request_id)
        if (request.content_length or 0) > MAX_INPUT_BYTES:
            raise too_large()
        asked = RunRequest(
            key=key,
            input=input_of(request.headers, await request.read()),
            idempotency_key=key_of(request.headers, self._new_id),
            traceparent=trace_of(request.headers),
        )
        run = await self._runs.start(asked)
        return _accepted(run_location(key.namespace, run), run, request)

    async def answer(self, request: web.Request, request_id: str) -> web.Response:
        """Answer a request to the address of a run."""
        named = _NAMED.fullmatch(request.path)
        if named is None:
            raise UnknownRun(f"{request.path} is no run: ask {RUNS_PREFIX}NAMESPACE/ID")
        return await self._answer(request, request_id, *named.groups())

    async def _answer(
        self, request: web.Request, request_id: str, namespace: str, run: str
    ) -> web.Response:
        if request.method == "DELETE":
            await self._runs.cancel(namespace, run)
            return _accepted(run_location(namespace, run), run, request)
        if request.method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD, DELETE", request_id)
        found = await self._runs.find(namespace, run, _wait(request))
        headers = {HEADER_REQUEST_ID: request_id, "Cache-Control": "no-store"}
        if not found.state.is_final:
            headers["Retry-After"] = "1"
        return web.Response(body=orjson.dumps(found.to_json()), headers=headers, content_type=_JSON)


def _wait(request: web.Request) -> float:
    text = request.query.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        problem = f"wait is a number of seconds from 0 to {MAX_WAIT_SECONDS:g}, not {text[:20]!r}"
        raise RunRefused(HTTPStatus.BAD_REQUEST, "bad-request", problem)
    return seconds


def _accepted(location: str, run: str, request: web.Request) -> web.Response:
    headers = {"Location": location, HEADER_REQUEST_ID: request.headers.get(HEADER_REQUEST_ID, "")}
    if "respond-async" in request.headers.get("Prefer", "").lower():
        headers["Preference-Applied"] = "respond-async"
    body = orjson.dumps({"id": run, "location": location})
    return web.Response(status=HTTPStatus.ACCEPTED, body=body, headers=headers, content_type=_JSON)


def _not_allowed(methods: str, request_id: str) -> web.Response:
    text = f"this address takes {methods}: a Job Function is called with POST"
    refused = Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", text)
    answer = problems.problem(refused, request_id)
    answer.headers["Allow"] = methods
    return answer
