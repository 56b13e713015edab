"""Delivers what a bus kept again, to one of its Triggers or to all."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_events(parser)
    parser.add_argument("name", metavar="BUS", help="the bus: NAME or NAMESPACE/NAME")
    parser.add_argument(
        "--from", dest="since", help="published since: RFC 3339, or an age such as 2h (all)"
    )
    parser.add_argument("--to", dest="until", help="published before (now)")
    parser.add_argument(
        "--after", type=int, help="go on behind this number, as a replay that ended early tells it"
    )
    parser.add_argument("--trigger", help="only to this Trigger (all of the bus)")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--pattern", help="only events that match this pattern (JSON, @FILE)")
    chosen.add_argument("--cesql", help="only events for which this expression is true")
    parser.add_argument("--rate", type=float, default=100.0, help="so many a second (100)")
    parser.add_argument("--limit", type=int, help="at most so many events (all)")


def run(args: argparse.Namespace) -> int:
    """Replay; 0 when it was done."""
    return int(asyncio.run(import_module("torpor.cli.replaying").replay(args)))
