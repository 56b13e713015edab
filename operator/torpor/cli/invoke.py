"""Sends one request to a function and prints its answer.

By default it goes through the API server to the gateway, so that nothing has to be exposed; with
--gateway (or TORPOR_GATEWAY) it goes there directly. The exit status is 0 for an answer below 400.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import Request
from torpor.errors import TorporError
from torpor.gateway.routes import PATH_PREFIX
from torpor.resources.names import FunctionKey

GATEWAY_VARIABLE = "TORPOR_GATEWAY"
_HOST_AND_PORT = re.compile(r"([^/:@\s]+|\[[0-9a-fA-F:.]+\]):[0-9]+/?")
_SAFE = "/?&=%:@!$'()*+,;~-._"


class BadOption(TorporError):
    """An option that cannot be understood."""

    code = "bad-option"


class NoGateway(TorporError):
    """The cluster has no gateway where it was looked for."""

    code = "no-gateway"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the request's parts and the way to the gateway."""
    parser.add_argument("name", help="the function: NAME or NAMESPACE/NAME")
    cluster.add_arguments(parser)
    parser.add_argument("--path", default="/", help="path and query that the function sees (/)")
    parser.add_argument("-X", "--method", help="the method (GET; POST when there is data)")
    parser.add_argument("-d", "--data", help="the body; @FILE reads it from a file, @- from stdin")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="a header"
    )
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers too")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to wait (300)")
    parser.add_argument(
        "--gateway",
        default=os.environ.get(GATEWAY_VARIABLE),
        help=f"a gateway's URL, such as http://127.0.0.1:8080, or HOST:PORT (${GATEWAY_VARIABLE})",
    )
    parser.add_argument(
        "--torpor-namespace", default="torpor-system", help="where Torpor runs (torpor-system)"
    )


def run(args: argparse.Namespace) -> int:
    """Send the request and print the answer; return 1 when it says that something failed."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    key = cluster.key_of(args)
    request = _request(args, key)
    async with _answer(args, request) as answer:
        if args.include:
            sys.stdout.write(_head(answer))
        if answer.status >= 400:
            return await _failed(args, answer)
        await _copy(answer)
    return 0


@asynccontextmanager
async def _answer(
    args: argparse.Namespace, request: Request
) -> AsyncIterator[aiohttp.ClientResponse]:
    if args.gateway:
        async with (
            aiohttp.ClientSession() as session,
            cluster.exchange(session, request, args.gateway) as answer,
        ):
            yield answer
        return
    async with cluster.connect(args) as api, api.stream(request) as answer:
        yield answer


def _request(args: argparse.Namespace, key: FunctionKey) -> Request:
    headers = _headers(args.header)
    if not args.gateway and "authorization" in headers:
        text = "-H Authorization cannot pass through the API server; give --gateway as well"
        raise BadOption(text)
    body = _body(args.data)
    method = (args.method or ("GET" if body is None else "POST")).upper()
    return Request(method, _base(args) + _address(key, args.path), headers, body, args.timeout)


def _base(args: argparse.Namespace) -> str:
    if args.gateway:
        scheme = "http://" if _HOST_AND_PORT.fullmatch(args.gateway) else ""
        return f"{scheme}{args.gateway}".rstrip("/")
    return f"/api/v1/namespaces/{args.torpor_namespace}/services/torpor-gateway:http/proxy"


def _address(key: FunctionKey, path: str) -> str:
    if not path.startswith("/"):
        raise BadOption(f"--path {path}: it begins with /")
    return f"{PATH_PREFIX}{key}{quote(path, safe=_SAFE)}"


def _headers(given: list[str]) -> Mapping[str, str]:
    pairs = [item.partition(":") for item in given]
    for (name, colon, _), text in zip(pairs, given, strict=True):
        if not colon or not name.strip():
            raise BadOption(f"-H {text!r}: write it as 'Name: value'")
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
    told = f"{answer.status} {answer.reason}" + (f": {why}" if why else "")
    print(f"torpor invoke: {told}", file=sys.stderr)
    return 1


def _problem(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
