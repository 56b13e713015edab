"""The program behind `torpor dev`: start, show, and end on a signal or when the demo is done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from torpor.dev.demo import Demo
from torpor.dev.ending import Ending
from torpor.dev.folder import Folder, load_folder
from torpor.dev.manifests import BadFolder
from torpor.dev.session import HOST, Ports, Session
from torpor.dev.state import state_of
from torpor.dev.terminal import log_to
from torpor.dev.view import show
from torpor.errors import TorporError
from torpor.resources.http_route import ANY_HOST

FIRST_PORT = 8080
FIRST_WORKFLOWS_PORT = 8100
FIRST_EVENTS_PORT = 8200
_PORTS_TRIED = 100
INTERRUPTED = 130
"""Exit status after a second Ctrl-C, as a shell gives it to a program that SIGINT ended."""


class BadPort(TorporError):
    """No port to listen on."""

    code = "bad-port"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ports as asked for; None: the first free one. `events`: with the events API in any case."""

    port: int | None = None
    workflows_port: int | None = None
    events_port: int | None = None
    events: bool = False


async def serve(folder: Path, wanted: Wanted) -> int:
    """Serve `folder` until a signal; return 0, or 130 when it was ended at once."""
    async with (
        _running(folder, wanted) as (session, console, ending),
        _shown(session, console),
    ):
        await ending.wait()
    return INTERRUPTED if ending.interrupted else 0


async def demonstrate(folder: Path, wanted: Wanted) -> int:
    """Run the demo; return 0 if every response was right, 1 otherwise, 130 after a signal."""
    async with (
        _running(folder, wanted) as (session, console, ending),
        _shown(session, console),
    ):
        demo = asyncio.create_task(Demo(session, console).run(), name="demo")
        asked = asyncio.create_task(ending.wait(), name="signal")
        try:
            await asyncio.wait((demo, asked), return_when=asyncio.FIRST_COMPLETED)
            passed = demo.result() if demo.done() else None
        finally:
            for task in (demo, asked):
                task.cancel()
            await asyncio.wait((demo, asked))
    return INTERRUPTED if passed is None else int(not passed)


def choose_port(wanted: int | None, first: int = FIRST_PORT, option: str = "--port") -> int:
    """Return `wanted` if it is free, or the first free port from `first` on; BadPort if none is."""
    if wanted is not None:
        why = _problem(wanted)
        if why is None:
            return wanted
        raise BadPort(f"port {wanted} on {HOST}: {why}; choose another with {option}")
    candidates = range(first, first + _PORTS_TRIED)
    free = next((port for port in candidates if _problem(port) is None), None)
    if free is None:
        raise BadPort(f"no port from {first} to {candidates[-1]} on {HOST} is free")
    return free


def _ports(found: Folder, wanted: Wanted) -> Ports:
    executions, events = None, None
    if found.workflows:
        executions = choose_port(wanted.workflows_port, FIRST_WORKFLOWS_PORT, "--workflows-port")
    if found.has_events or wanted.events:
        events = choose_port(wanted.events_port, FIRST_EVENTS_PORT, "--events-port")
    return Ports(choose_port(wanted.port), executions, events)


def _problem(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return "is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
    return None


@contextlib.asynccontextmanager
async def _running(folder: Path, wanted: Wanted) -> AsyncIterator[tuple[Session, Console, Ending]]:
    console = Console()
    log_to(console)
    found = load_folder(folder)
    if found.is_empty:
        raise BadFolder(f"{folder}: no Function, Workflow or Trigger in any *.yaml file")
    with state_of(folder) as state:
        session = Session(folder, found, state, _ports(found, wanted))
        ending = Ending(console)
        try:
            async with session.running():
                ending.listen(session.requests, session.kill)
                _greet(session, console, state)
                yield session, console, ending
        finally:
            _say(console, f"the functions' logs are in {state}")


@contextlib.asynccontextmanager
async def _shown(session: Session, console: Console) -> AsyncIterator[None]:
    view = asyncio.create_task(show(session, console), name="view")
    try:
        yield
    finally:
        view.cancel()
        await asyncio.wait((view,))


def _greet(session: Session, console: Console, state: Path) -> None:
    for key in session.entries:
        host = f"{key.name}.{key.namespace}.localhost"
        address = f"{session.url}/function/{key}/  or  http://{host}:{session.port}/"
        _say(console, f"{key}  {address}")
    for route in session.routes():
        host = HOST if route.host == ANY_HOST else route.host
        methods = " or ".join(route.methods) or "any method"
        _say(console, f"{route.trigger}  {methods} http://{host}:{session.port}{route.prefix}")
    if session.executions:
        for line in session.executions.greeting():
            _say(console, line)
    if session.events:
        for line in session.events.greeting():
            _say(console, line)
    _say(console, f"logs in {state}")


def _say(console: Console, text: str) -> None:
    with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
        console.print(text, markup=False, highlight=False, soft_wrap=True)
