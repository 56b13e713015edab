"""Finds odd Triggers: quiet for long, with no target, suspended, doubled by another, or looping."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_events(parser)
    options.add_everywhere(parser)
    parser.add_argument("--days", type=float, default=30, help="quiet is who had no event for (30)")
    options.add_form(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0."""
    return int(asyncio.run(import_module("torpor.cli.auditing").audit(args)))
