"""Takes events from their sources and delivers them to functions and workflows.

The role is configured by its environment (`TORPOR_*`, see settings), which the chart writes.
"""

from __future__ import annotations

import argparse
from importlib import import_module


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The role takes none."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM; return 0 after an orderly end."""
    del args
    return int(import_module("torpor.triggers.role").main())
