"""Says what is missing or wrong in this cluster, why it matters, and the command that mends it.

It changes nothing. The exit status is 1 when there is a problem, 0 when there is only advice. With
--dev it looks at this machine and a run of `torpor dev` instead.
"""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_cluster(parser, "what to look at if not all namespaces may be seen (kubeconfig's)")
    options.add_gateway(parser)
    parser.add_argument(
        "--dev", action="store_true", help="look at this machine and torpor dev (at --gateway)"
    )
    options.add_text_or_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 1 when there is a problem."""
    return int(asyncio.run(import_module("torpor.cli.doctor.visit").visit(args)))
