"""Runs the Functions in a folder as local processes that scale from zero and back.

Its Workflows run too: on a PostgreSQL of their own in the same place as the logs, where executions
stay, so that those that were running go on in the next run. Its Triggers as well: on a nats-server
of their own, where events stay that are not delivered yet. A second run of the same folder at the
same time has a state of its own.

Its Job Functions run as local processes with the signals, retries and limits of a cluster's Jobs.
Runs stay too: what is cut by the end of this goes on in the next run of the folder, without an
attempt used up.

With --demo it shows the folder and ends. A folder's demo.py is run beside it, with the addresses
of the APIs in TORPOR_GATEWAY, TORPOR_WORKFLOWS, TORPOR_EVENTS and TORPOR_DASHBOARD, and its exit
status is this command's.

The functions' logs stay in $XDG_STATE_HOME/torpor/dev (~/.local/state/torpor/dev) until the next
run of the same folder. The first Ctrl-C waits for the requests in flight, at most 30 seconds; the
second does not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from torpor.dev.manifests import BadFolder
from torpor.dev.ports import BadPort
from torpor.dev.run import Wanted, demonstrate, serve

_HIGHEST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder and the options."""
    parser.add_argument(
        "folder",
        type=Path,
        help="where the *.yaml files with Functions, Workflows and Triggers are",
    )
    parser.add_argument("--port", type=_port, help="listen here (default: 8080 or the next free)")
    parser.add_argument(
        "--workflows-port",
        type=_port,
        help="serve the execution API here (default: 8100 or the next free)",
    )
    parser.add_argument(
        "--events-port",
        type=_port,
        help="serve the events API here (default: 8200 or the next free)",
    )
    parser.add_argument(
        "--dashboard-port",
        type=_port,
        help="serve the dashboard here (default: 8300 or the next free)",
    )
    parser.add_argument(
        "--events", action="store_true", help="serve the events API even if there is no Trigger"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="run the folder's demo.py, or drive a burst at the functions; check, sum up, end",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C (0), or run the demo: 0 if everything was right, or what its program says.

    2 for a folder or a port that cannot be used, with a line for each reason.
    """
    program = demonstrate if args.demo else serve
    wanted = Wanted(
        args.port, args.workflows_port, args.events_port, args.dashboard_port, args.events
    )
    try:
        return asyncio.run(program(args.folder, wanted))
    except (BadFolder, BadPort) as error:
        for line in str(error).splitlines():
            print(f"torpor dev: {line}", file=sys.stderr)
        return 2


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= _HIGHEST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: give 1 to {_HIGHEST_PORT}")
