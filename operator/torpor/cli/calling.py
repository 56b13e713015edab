"""One request to a function by way of a gateway, and its answer on the terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import aiohttp

from torpor.cli import cluster, gatewayreach
from torpor.cli.cluster import Request
from torpor.cli.gatewayreach import Gateway, NoGateway
from torpor.cli.options import BadOption
from torpor.cli.run.values import RunName
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.run import RUNS_PREFIX, RunState

RESPOND_ASYNC = {"prefer": "respond-async"}
"""RFC 7240, section 4.1."""
LAMBDA_PATH = "/2015-03-31/functions/{}/invocations"
FUNCTION_ERROR = "X-Amz-Function-Error"
RESULT_STATUS = "Torpor-Status"
"""On the result of an asynchronous call: the status that the function answered with."""
_POLL_SECONDS = 1.0
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2: what methods and names of headers are made of."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""RFC 9110, section 5.5: what values of headers may not hold."""
_SAFE = "/?&=%:@!$'()*+,;~-._"


class NoResult(TorporError):
    """What was called asynchronously has not ended in time."""

    code = "no-result"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the result of an asynchronous call will be, and when to look for it first."""

    path: str
    seconds: float


async def call(args: argparse.Namespace) -> int:
    """Send the request of the options and print the answer; 1 when something failed."""
    key = cluster.key_of(args)
    usual = "POST" if args.wait else "GET"
    request = _lambda_request(args, key) if args.as_lambda else request_of(args, key, usual)
    if args.asynchronous:
        request = replace(request, headers={**request.headers, **RESPOND_ASYNC})
    clock = asyncio.get_running_loop().time
    deadline = clock() + args.timeout
    async with gatewayreach.connect(args) as gateway:
        told = await _exchange(gateway, args, request)
        if isinstance(told, RunName):
            return await _run(gateway, args, told)
        while isinstance(told, Place):
            if clock() + told.seconds > deadline:
                raise NoResult(f"no result within {args.timeout:g} s (--timeout); ask {told.path}")
            await asyncio.sleep(told.seconds)
            later = Request("GET", told.path, {}, None, deadline - clock())
            told = await _exchange(gateway, args, later)
        assert isinstance(told, int), "a result is no run"
        return told


async def _run(gateway: Gateway, args: argparse.Namespace, name: RunName) -> int:
    """Print the id of the run that a Job Function began, or its result when it has ended."""
    if not (args.wait or args.asynchronous):
        print(name.id)
        _note(f"it is a run: torpor run show {name} tells how it goes on, --wait waits for its end")
        return 0
    from torpor.cli.run.following import Patience, follow  # with a bar: only where it is used
    from torpor.cli.run.texts import result_text

    _note(f"run {name} is taken")
    run = await follow(gateway, name, Patience.of(args))
    if run.result is not None:
        print(result_text(run.result))
    return 0 if run.state is RunState.SUCCEEDED else 1


async def _exchange(
    gateway: Gateway, args: argparse.Namespace, request: Request
) -> int | Place | RunName:
    """Send one request; return the exit status, or where to ask for the result."""
    async with gateway.send(request) as answer:
        run = _run_of(gateway, request, answer)
        if run is not None and not args.include:
            return run
        place = _place(gateway, args, request, answer)
        if place is not None:
            return place
        if args.asynchronous and request.headers.get("prefer"):
            _note("the gateway answered at once: it takes no asynchronous calls")
        if args.include:
            sys.stdout.write(_head(answer))
        if answer.status >= 400:
            return await _failed(args, answer)
        await _copy(answer)
        return _function_failed(answer)


def _place(
    gateway: Gateway, args: argparse.Namespace, request: Request, answer: aiohttp.ClientResponse
) -> Place | None:
    """Return where to ask next; an API server that stands between has put its own path before."""
    if not args.asynchronous or answer.status != HTTPStatus.ACCEPTED:
        return None
    location = answer.headers.get("Location")
    waiting = answer.headers.get("Retry-After", "")
    seconds = float(waiting) if waiting.isascii() and waiting.isdigit() else _POLL_SECONDS
    if location is None:
        return None if request.headers.get("prefer") else Place(request.url, seconds)
    found = urlsplit(urljoin(request.url, location))
    if request.headers.get("prefer"):
        _note(f"taken; the result will be at {location}")
    query = f"?{found.query}" if found.query else ""
    return Place(found.path.removeprefix(gateway.base) + query, seconds)


def _run_of(gateway: Gateway, request: Request, answer: aiohttp.ClientResponse) -> RunName | None:
    """Return the run that a Job Function answers with; an API server adds to its address."""
    location = answer.headers.get("Location", "")
    if answer.status != HTTPStatus.ACCEPTED or not location:
        return None
    path = urlsplit(urljoin(request.url, location)).path.removeprefix(gateway.base)
    namespace, _, name = path.removeprefix(RUNS_PREFIX).partition("/")
    return RunName(namespace, name) if path.startswith(RUNS_PREFIX) and name else None


def _function_failed(answer: aiohttp.ClientResponse) -> int:
    """Say that a function failed whose answer is told with 200: Lambda's API, and results."""
    status = answer.headers.get(RESULT_STATUS, "")
    failed = f"status {status}" if status.isdigit() and int(status) >= 400 else None
    kind = answer.headers.get(FUNCTION_ERROR, failed)
    if kind is None:
        return 0
    sys.stdout.write("\n")
    _note(f"the function failed: {kind}")
    return 1


def _lambda_request(args: argparse.Namespace, key: FunctionKey) -> Request:
    if args.path != "/" or (args.method or "POST").upper() != "POST":
        raise BadOption("--lambda has a path and a method of its own: leave out --path and -X")
    body = _body(args.data) or b"{}"
    try:
        json.loads(body)
    except ValueError as error:
        raise BadOption(f"--lambda: -d is no JSON ({error}); the event has to be") from None
    path = LAMBDA_PATH.format(f"{key.namespace}.{key.name}")
    headers = {"content-type": "application/json", **_headers(args)}
    return Request("POST", path, headers, body, args.timeout)


def request_of(args: argparse.Namespace, key: FunctionKey, usual: str) -> Request:
    """Return the request that --path, -X, -d and -H describe; BadOption if they make none.

    `usual` is the method of one without -X and -d.
    """
    headers = _headers(args)
    body = _body(args.data)
    method = (args.method or (usual if body is None else "POST")).upper()
    if not _TOKEN.fullmatch(method):
        raise BadOption(f"-X {args.method!r}: a method is one word, such as GET, POST or PURGE")
    if not args.path.startswith("/"):
        raise BadOption(f"--path {args.path}: it begins with /")
    path = gatewayreach.function_path(key, quote(args.path, safe=_SAFE))
    return Request(method, path, headers, body, args.timeout)


def _headers(args: argparse.Namespace) -> Mapping[str, str]:
    headers = headers_of(args.header)
    if not args.gateway and "authorization" in headers:
        text = "-H Authorization cannot pass through the API server; give --gateway as well"
        raise BadOption(text)
    return headers


def headers_of(given: list[str]) -> Mapping[str, str]:
    """Return the headers that `Name: value` texts mean; BadOption for one that means none."""
    pairs = [item.partition(":") for item in given]
    for (name, colon, value), text in zip(pairs, given, strict=True):
        if not colon or not name.strip():
            raise BadOption(f"-H {text!r}: write it as 'Name: value'")
        if not _TOKEN.fullmatch(name.strip()):
            raise BadOption(f"-H {text!r}: a name is one word, such as X-Key")
        if _CONTROL.search(value.strip()):
            raise BadOption(f"-H {text!r}: a value is one line without control characters")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise BadOption(f"-d {data}: {error.strerror}; without @ it is the data itself") from None


def _head(answer: aiohttp.ClientResponse) -> str:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\n".join([*lines, "", ""])


async def _copy(answer: aiohttp.ClientResponse) -> None:
    """Write the body as it arrives, so that a stream is seen while it goes on."""
    sys.stdout.flush()
    async for chunk in answer.content.iter_any():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


async def _failed(args: argparse.Namespace, answer: aiohttp.ClientResponse) -> int:
    body = await answer.read()
    problem = _problem(body)
    if problem.get("kind") == "Status" and not args.gateway:
        place = f"{args.torpor_namespace} (--torpor-namespace)"
        raise NoGateway(f"the gateway in {place} cannot be reached: {problem.get('message')}")
    why = problem.get("detail") if "code" in problem else None
    if args.include or why is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    _note(f"{answer.status} {answer.reason}" + (f": {why}" if why else ""))
    return 1


def _note(text: str) -> None:
    sys.stdout.flush()
    print(f"torpor invoke: {text}", file=sys.stderr)


def _problem(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
