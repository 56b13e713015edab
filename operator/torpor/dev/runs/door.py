"""What `torpor dev` tells of its runs beside what every gateway does, for `torpor run`.

| request | answer |
| --- | --- |
| GET /function/@runs/?namespace=<namespace> | {"runs": […]}, the latest first |
| GET /function/@runs/<namespace>/<id>/details | the run, its attempts and its input |
| GET /function/@runs/<namespace>/<id>/logs/<index>?from=<byte> | what the index has written |
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from aiohttp import web

from torpor.dev.runs.keeper import LocalRuns
from torpor.gateway.runs.door import RunsDoor
from torpor.platform.local_output import opened
from torpor.resources.run import RUNS_PREFIX

_DETAILS = re.compile(f"{RUNS_PREFIX}([^/]+)/([^/]+)/details")
_LOG = re.compile(f"{RUNS_PREFIX}([^/]+)/([^/]+)/logs/([0-9]{{1,6}})")
_MOST_BYTES = 1 << 20


class LocalRunsDoor(RunsDoor):
    """Answers for the runs of this session."""

    def __init__(self, runs: LocalRuns, new_id: Callable[[], str]) -> None:
        super().__init__(runs, new_id)
        self._local = runs

    async def answer(self, request: web.Request, request_id: str) -> web.Response:
        """Answer a request to the address of a run, or of all of them."""
        if request.method != "GET":
            return await super().answer(request, request_id)
        if request.path == RUNS_PREFIX:
            return self._list(request.query.get("namespace"))
        if found := _DETAILS.fullmatch(request.path):
            details = await self._local.details(*found.groups())
            return web.json_response(details.to_json())
        if found := _LOG.fullmatch(request.path):
            return await asyncio.to_thread(self._log, request, *found.groups())
        return await super().answer(request, request_id)

    def _list(self, namespace: str | None) -> web.Response:
        runs = [run for run in self._local.all() if namespace in (None, run.key.namespace)]
        return web.json_response({"runs": [run.to_json() for run in runs]})

    def _log(self, request: web.Request, namespace: str, run: str, index: str) -> web.Response:
        """At most 1 MiB: the rest is asked for next."""
        begin = request.query.get("from", "0")
        offset = int(begin[:15]) if begin.isascii() and begin.isdigit() else 0
        file = self._local.logs(namespace, run).get(int(index))
        if file is None:
            return web.Response()
        with opened(file) as source:
            source.seek(offset)
            return web.Response(body=source.read(_MOST_BYTES))
