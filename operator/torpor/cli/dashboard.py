"""Shows what Functions, Workflows, runs and Triggers do, in a browser: live, with costs and traces.

With TORPOR_DASHBOARD, as `torpor dev` prints it, that page is the one. On a cluster whose chart was
installed with dashboard.enabled=true, a port of this machine passes everything on, through the API
server, until Ctrl-C.

With --in-cluster it is the role itself, configured by its environment (`TORPOR_*`, see settings),
which the chart writes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import webbrowser
from importlib import import_module

from torpor.cli import options

FIRST_PORT = 8300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the way to a dashboard, and what to do with it."""
    options.add_cluster(parser)
    options.add_place(parser)
    options.add_dashboard(parser)
    parser.add_argument(
        "--port", type=int, help=f"pass on from here ({FIRST_PORT} or the next free port)"
    )
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    parser.add_argument("--in-cluster", action="store_true", help="role: serve it in a cluster")


def run(args: argparse.Namespace) -> int:
    """Print its address, and pass everything on until Ctrl-C where a browser cannot reach it."""
    if args.in_cluster:
        return int(import_module("torpor.dashboard.cluster.role").main())
    asyncio.run(_show(args))
    return 0


async def _show(args: argparse.Namespace) -> None:
    from torpor.cli.dashboardpass import passing
    from torpor.cli.dashboardreach import connect
    from torpor.dashboard.server import served
    from torpor.dev.ports import HOST, address, choose_port

    async with connect(args) as dashboard:
        await dashboard.get("/api/traces")  # says what to do where there is none
        if not dashboard.headers:
            await _tell(dashboard.base, args)
            return
        port = choose_port(args.port, FIRST_PORT)
        async with served(passing(dashboard), HOST, port):
            await _tell(address(port), args)
            await asyncio.Event().wait()


async def _tell(url: str, args: argparse.Namespace) -> None:
    print(f"dashboard: {url}", flush=True)
    if args.open and not await asyncio.to_thread(webbrowser.open, url):
        print(f"torpor dashboard: no browser here: open {url} in one", file=sys.stderr)
