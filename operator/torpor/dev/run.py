"""The program behind `torpor dev`: start, show, and end on Ctrl-C or when the demo is done."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from torpor.dev.demo import Demo
from torpor.dev.folder import load_folder
from torpor.dev.session import HOST, Session
from torpor.dev.view import show
from torpor.errors import TorporError
from torpor.telemetry.logs import configure

FIRST_PORT = 8080
_PORTS_TRIED = 100


async def serve(folder: Path, port: int | None) -> int:
    """Serve `folder` until SIGINT or SIGTERM; return 0."""
    configure("dev", "WARNING")
    console = Console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with _work_folder() as work:
        session = Session(folder, load_folder(folder), work, choose_port(port))
        async with session.running():
            _greet(session, console, work)
            await _until(stop, session, console)
    return 0


async def demonstrate(folder: Path, port: int | None) -> int:
    """Run the demo; return 0 if every response was right, 1 otherwise."""
    configure("dev", "WARNING")
    console = Console()
    with _work_folder() as work:
        session = Session(folder, load_folder(folder), work, choose_port(port))
        async with session.running():
            _greet(session, console, work)
            view = asyncio.create_task(show(session, console), name="view")
            try:
                passed = await Demo(session, console).run()
            finally:
                view.cancel()
    return 0 if passed else 1


def choose_port(wanted: int | None) -> int:
    """Return `wanted` if it is free, or the first free port from 8080 on; BadPort if none is."""
    candidates = [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED)
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise BadPort(f"{HOST}: port {candidates[0]} is taken; choose another with --port")


class BadPort(TorporError):
    """No port to listen on."""

    code = "bad-port"


async def _until(stop: asyncio.Event, session: Session, console: Console) -> None:
    view = asyncio.create_task(show(session, console), name="view")
    try:
        await stop.wait()
    finally:
        view.cancel()


def _greet(session: Session, console: Console, work: Path) -> None:
    for key in session.entries:
        host = f"{key.name}.{key.namespace}.localhost"
        address = f"{session.url}/function/{key}/  or  http://{host}:{session.port}/"
        console.print(f"{key}  {address}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"logs in {work}", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _work_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="torpor-dev-", ignore_cleanup_errors=True) as name:
        yield Path(name)
