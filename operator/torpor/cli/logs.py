"""Prints what a function's instances write, all of it or what belongs to a trace or a request.

It is `torpor fn logs`. With TORPOR_DASHBOARD, as `torpor dev` prints it, the function is one of
that machine's.
"""

from __future__ import annotations

import argparse

from torpor.cli import options
from torpor.cli.acting import act


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which function, and which of its lines."""
    parser.add_argument("name", help="the function: NAME or NAMESPACE/NAME")
    options.add_cluster(parser)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add which lines, and where the function runs."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on, with new instances too")
    parser.add_argument("--tail", type=int, metavar="LINES", help="only the last lines of each")
    parser.add_argument("-p", "--previous", action="store_true", help="of the run before a restart")
    parser.add_argument("--trace", default="", metavar="ID", help="only lines of this trace")
    parser.add_argument("--request", default="", metavar="ID", help="only lines of this request")
    options.add_dashboard(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; 0 also where there are none yet."""
    return act("fnlook", "logs", args)
