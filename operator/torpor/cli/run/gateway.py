"""Runs by way of a gateway: to start, await and cancel one, and all that `torpor dev` tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from torpor.cli.cluster import Request
from torpor.cli.gatewayreach import Gateway, NoGateway, function_path
from torpor.cli.run.values import NoSuchRun, RunName
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.run import RUNS_PREFIX, Run, run_location
from torpor.resources.run_details import RunDetails

_ANSWER_SECONDS = 30.0
_NOT_DEV = (
    "the gateway knows its runs only one by one: leave out --gateway to see those of the cluster"
)


class RunRefused(TorporError):
    """The gateway did not do what was asked of it; the message is its own."""

    code = "run-refused"


async def start(gateway: Gateway, key: FunctionKey, given: str, identity: str) -> RunName:
    """Start a run with this input, or find the one that there is under this key."""
    headers = {"content-type": "text/plain; charset=utf-8", "idempotency-key": identity}
    path = function_path(key, "/")
    found = await _asked(gateway, Request("POST", path, headers, given.encode(), _ANSWER_SECONDS))
    return RunName(key.namespace, str(found["id"]))


async def wait(gateway: Gateway, name: RunName, seconds: int) -> Run:
    """Return the run once it is final, at the latest after `seconds`."""
    path = f"{run_location(name.namespace, name.id)}?wait={seconds}"
    found = await _asked(gateway, Request("GET", path, {}, None, seconds + _ANSWER_SECONDS))
    return Run.from_json(found)


async def cancel(gateway: Gateway, name: RunName) -> None:
    """Have the run end; nothing happens to one that has ended."""
    path = run_location(name.namespace, name.id)
    await _asked(gateway, Request("DELETE", path, {}, None, _ANSWER_SECONDS))


async def runs(gateway: Gateway, namespace: str) -> list[Run]:
    """Return the runs of `torpor dev` in a namespace, in all if it is empty."""
    query = f"?namespace={namespace}" if namespace else ""
    found = await _of_dev(gateway, f"{RUNS_PREFIX}{query}")
    return [Run.from_json(item) for item in found["runs"]]


async def details(gateway: Gateway, name: RunName) -> RunDetails:
    """Return all about a run of `torpor dev`."""
    await wait(gateway, name, 0)  # says it where there is none
    place = run_location(name.namespace, name.id)
    return RunDetails.from_json(await _of_dev(gateway, f"{place}/details"))


async def log(gateway: Gateway, name: RunName, index: int, offset: int) -> bytes:
    """Return what a program of `torpor dev` has written from this byte on."""
    path = f"{run_location(name.namespace, name.id)}/logs/{index}?from={offset}"
    async with gateway.send(Request("GET", path, {}, None, _ANSWER_SECONDS)) as answer:
        return await answer.read() if answer.status == HTTPStatus.OK else b""


async def _of_dev(gateway: Gateway, path: str) -> Mapping[str, Any]:
    try:
        return await _asked(gateway, Request("GET", path, {}, None, _ANSWER_SECONDS))
    except NoSuchRun:
        raise NoGateway(_NOT_DEV) from None


async def _asked(gateway: Gateway, request: Request) -> Mapping[str, Any]:
    async with gateway.send(request) as answer:
        body = _object(await answer.read())
        if answer.status < HTTPStatus.BAD_REQUEST:
            return body
        text = str(body.get("detail") or body.get("message") or f"status {answer.status}")
        if answer.status == HTTPStatus.NOT_FOUND:
            raise NoSuchRun(text)
        raise RunRefused(text)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def lines_of(text: bytes) -> tuple[list[bytes], int]:
    """Return the whole lines of a text, and how many bytes they have."""
    end = text.rfind(b"\n") + 1
    return text[:end].splitlines(), end
