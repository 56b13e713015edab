"""Publishes one event to a bus, or puts it into a queue."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_events(parser)
    parser.add_argument("name", metavar="BUS", help="the bus or queue: NAME or NAMESPACE/NAME")
    parser.add_argument("--queue", action="store_true", help="it is a queue")
    parser.add_argument(
        "-d", "--data", help="the event's data as JSON ({}); @FILE reads a file, @- stdin"
    )
    parser.add_argument("--event", help="a whole CloudEvent as JSON, in place of all else; @FILE")
    parser.add_argument("--type", default="dev.torpor.cli", help="its type (dev.torpor.cli)")
    parser.add_argument("--source", default="/torpor/cli", help="its source (/torpor/cli)")
    parser.add_argument("--subject", help="its subject")
    parser.add_argument("--id", help="its id (a random one); the same id is stored once")


def run(args: argparse.Namespace) -> int:
    """Publish; 0 when it is stored."""
    return int(asyncio.run(import_module("torpor.cli.publishing").publish(args)))
