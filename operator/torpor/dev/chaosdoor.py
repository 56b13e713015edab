"""The faults of `torpor chaos` over HTTP, on the dashboard of `torpor dev` and nowhere else.

| request | body |
| --- | --- |
| POST /api/chaos/kill-run | namespace, name: of a run, or of a Function with one under way |
| POST /api/chaos/kill-pod | namespace, name: of a Function |
| POST /api/chaos/kill-engine | none |
| POST /api/chaos/slow | namespace, name, seconds: 0.05 to 10, one turn |

The answer comes when what was broken is back: `did`, `lost` and `watch`, all sentences; 504 if it
is not back in time. The dashboard's guard stands before all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from torpor.dashboard.problems import problem
from torpor.dev.chaos import LONGEST_TURN_SECONDS, Chaos, NotBack, NothingToBreak, Told
from torpor.errors import UnknownFunction
from torpor.resources.names import FunctionKey
from torpor.resources.run import UnknownRun

if TYPE_CHECKING:
    from torpor.dev.session import Session

SHORTEST_TURN_SECONDS = 0.05
Fault = Callable[[Chaos, Mapping[str, Any]], Awaitable[Told]]


class _BadFault(ValueError):
    """What was asked for cannot be understood."""


def routes(session: Session) -> list[web.RouteDef]:
    """Return the addresses of the faults, for a session that runs."""
    chaos, one = Chaos(session), asyncio.Lock()
    return [
        web.post(f"/api/chaos/{name}", partial(_answer, chaos, one, fault))
        for name, fault in _FAULTS.items()
    ]


async def _answer(
    chaos: Chaos, one: asyncio.Lock, fault: Fault, request: web.Request
) -> web.Response:
    """Do one fault at a time: what one lost would not be known otherwise."""
    try:
        given = _object(await request.read())
        async with one:
            told = await fault(chaos, given)
    except _BadFault as error:
        return problem(HTTPStatus.BAD_REQUEST, "bad-fault", str(error))
    except (UnknownRun, UnknownFunction) as error:
        return problem(HTTPStatus.NOT_FOUND, error.code, str(error))
    except NothingToBreak as error:
        return problem(HTTPStatus.CONFLICT, error.code, str(error))
    except NotBack as error:
        return problem(HTTPStatus.GATEWAY_TIMEOUT, error.code, str(error))
    return web.json_response(told.to_json())


async def _kill_run(chaos: Chaos, given: Mapping[str, Any]) -> Told:
    key = _key(given)
    return await chaos.kill_run(key.namespace, key.name)


async def _kill_pod(chaos: Chaos, given: Mapping[str, Any]) -> Told:
    return await chaos.kill_pod(_key(given))


async def _kill_engine(chaos: Chaos, _: Mapping[str, Any]) -> Told:
    return await chaos.kill_engine()


async def _slow(chaos: Chaos, given: Mapping[str, Any]) -> Told:
    seconds = given.get("seconds")
    least, most = SHORTEST_TURN_SECONDS, LONGEST_TURN_SECONDS
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise _BadFault("seconds must be a number")
    if not least <= seconds <= most:
        raise _BadFault(f"seconds must be from {least:g} to {most:g}, not {seconds:g}")
    return await chaos.slow(_key(given), seconds)


_FAULTS: Mapping[str, Fault] = {
    "kill-run": _kill_run,
    "kill-pod": _kill_pod,
    "kill-engine": _kill_engine,
    "slow": _slow,
}


def _key(given: Mapping[str, Any]) -> FunctionKey:
    namespace, name = given.get("namespace"), given.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        raise _BadFault("namespace and name must be texts")
    return FunctionKey(namespace, name)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body or b"{}")
    except ValueError as error:
        raise _BadFault(f"the body must be JSON: {error}") from None
    if not isinstance(found, dict):
        raise _BadFault("the body must be a JSON object")
    return found
