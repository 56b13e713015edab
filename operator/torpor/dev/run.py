"""The program behind `torpor dev`: start, show, and end on a signal or when the demo is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from torpor.dev.demo import Demo
from torpor.dev.demo_program import PROGRAM, run_program
from torpor.dev.ending import Ending
from torpor.dev.folder import Folder, load_folder
from torpor.dev.manifests import BadFolder
from torpor.dev.ports import HOST, Ports, choose_port
from torpor.dev.session import Session
from torpor.dev.state import lasts, state_of
from torpor.dev.terminal import log_to
from torpor.dev.view import show
from torpor.resources.http_route import ANY_HOST

FIRST_PORT = 8080
FIRST_WORKFLOWS_PORT = 8100
FIRST_EVENTS_PORT = 8200
FIRST_DASHBOARD_PORT = 8300
INTERRUPTED = 130
"""Exit status after a second Ctrl-C, as a shell gives it to a program that SIGINT ended."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ports as asked for; None: the first free one. `events`: with the events API in any case."""

    port: int | None = None
    workflows_port: int | None = None
    events_port: int | None = None
    dashboard_port: int | None = None
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
    """Run the folder's demo, its own program or a burst, and return its status; 130 for a signal.

    The burst's is 0 if every response was right, 1 otherwise.
    """
    async with _running(folder, wanted) as (session, console, ending):
        demo = asyncio.create_task(_demonstrated(folder, session, console), name="demo")
        asked = asyncio.create_task(ending.wait(), name="signal")
        try:
            await asyncio.wait((demo, asked), return_when=asyncio.FIRST_COMPLETED)
            status = demo.result() if demo.done() else INTERRUPTED
        finally:
            for task in (demo, asked):
                task.cancel()
            await asyncio.wait((demo, asked))
    return status


async def _demonstrated(folder: Path, session: Session, console: Console) -> int:
    program = folder / PROGRAM
    if await asyncio.to_thread(program.is_file):
        return await run_program(program, session.addresses)
    async with _shown(session, console):
        return int(not await Demo(session, console).run())


def _ports(found: Folder, wanted: Wanted) -> Ports:
    executions, events = None, None
    if found.workflows:
        executions = choose_port(wanted.workflows_port, FIRST_WORKFLOWS_PORT, "--workflows-port")
    if found.has_events or wanted.events:
        events = choose_port(wanted.events_port, FIRST_EVENTS_PORT, "--events-port")
    dashboard = choose_port(wanted.dashboard_port, FIRST_DASHBOARD_PORT, "--dashboard-port")
    return Ports(choose_port(wanted.port, FIRST_PORT), executions, events, dashboard)


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
        _say(console, f"{route.trigger}  {methods} http://{host}:{session.port}{route.path}")
    if session.executions:
        for line in session.executions.greeting():
            _say(console, line)
    if session.events:
        for line in session.events.greeting():
            _say(console, line)
    _say(console, f"dashboard: {session.dashboard}  (export TORPOR_DASHBOARD={session.dashboard})")
    if not lasts(state):
        _say(console, "the next run begins anew: XDG_STATE_HOME, or HOME, cannot be written")
    _say(console, f"logs in {state}")


def _say(console: Console, text: str) -> None:
    with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
        console.print(text, markup=False, highlight=False, soft_wrap=True)
