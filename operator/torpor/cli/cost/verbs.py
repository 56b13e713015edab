"""Says what each Function, run, Workflow and variant of a video cost, and what a month would.

What was used is read from the roles' metrics: of torpor dev at the dashboard that it names in
TORPOR_DASHBOARD, else of the cluster through its API server. The record of a run (--run) is read
from a gateway: that of torpor dev is in TORPOR_GATEWAY. Prices are those of a table that comes
along (`torpor cost tables`), or of a file of yours. With -n the bill is that of one namespace.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torpor.cli import options
from torpor.cli.acting import act

_MODULES = {None: "spent.spent", "compare": "comparing.compare", "tables": "tables.tables"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the bill, and the actions besides it."""
    options.add_cluster(parser, "only what is in it (all namespaces); of --run (the kubeconfig's)")
    options.add_gateway(parser)
    options.add_dashboard(parser)
    _add_prices(parser, "own-nodes")
    parser.add_argument("--run", metavar="ID", help="what the variants of one transcode cost")
    options.add_text_or_data(parser)
    verbs = parser.add_subparsers(dest="action", metavar="ACTION")
    _add_compare(verbs)
    listing = options.action(verbs, "tables", "the price tables and servers that come along")
    options.add_text_or_data(listing)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    module, _, name = _MODULES[args.action].partition(".")
    return act(f"cost.{module}", name, args)


def _add_compare(verbs: options.Actions[argparse.ArgumentParser]) -> None:
    text = (
        "what so many requests cost a month serverless and always on, and where both cost as much"
    )
    comparing = options.action(verbs, "compare", text)
    comparing.add_argument("--requests", default="10000000", help="a month (10000000)")
    comparing.add_argument("--milliseconds", default="200", help="of each request (200)")
    comparing.add_argument("--memory", default="256", metavar="MIB", help="of its place (256)")
    comparing.add_argument(
        "--vcpus", default="0", help="of its place (what the prices give with the memory)"
    )
    comparing.add_argument(
        "--ready", default="0", metavar="PLACES", help="kept ready all month (0)"
    )
    _add_prices(comparing, "aws-lambda-x86")
    comparing.add_argument(
        "--always-on", default="t3.medium", metavar="SERVER", help="what is always on (t3.medium)"
    )
    comparing.add_argument("--svg", type=Path, metavar="FILE", help="draw it into this file too")
    options.add_text_or_data(comparing)


def _add_prices(parser: argparse.ArgumentParser, usual: str) -> None:
    text = f"a price table, by its name or as a .yaml file ({usual})"
    parser.add_argument("--prices", default=usual, metavar="TABLE", help=text)
