"""Runs the Functions in a folder as local processes that scale from zero and back."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from torpor.dev.run import demonstrate, serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder and the options."""
    parser.add_argument("folder", type=Path, help="where the *.yaml files with Functions are")
    parser.add_argument("--port", type=int, help="listen here (default: 8080 or the next free)")
    parser.add_argument(
        "--demo", action="store_true", help="drive a burst at the functions, check, sum up, end"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C (0), or run the demo: 0 if every response was right, 1 otherwise."""
    program = demonstrate if args.demo else serve
    return asyncio.run(program(args.folder, args.port))
