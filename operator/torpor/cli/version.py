"""Prints the version of Torpor and of the Python that runs it."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb takes none."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Print one line and return 0."""
    del args
    print(f"torpor {version('torpor')} (Python {platform.python_version()})")
    return 0
