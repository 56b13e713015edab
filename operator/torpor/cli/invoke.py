"""Sends one request to a function and prints its answer.

By default it goes through the API server to the gateway, so that nothing has to be exposed; with
--gateway (or TORPOR_GATEWAY) it goes there directly. The exit status is 0 for an answer below 400.
Of a Job Function it prints the id of the run that the request began.
"""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the request's parts and the way to the gateway."""
    parser.add_argument("name", help="the function: NAME or NAMESPACE/NAME")
    options.add_cluster(parser)
    options.add_request(parser)
    parser.add_argument("-i", "--include", action="store_true", help="print status and headers too")
    parser.add_argument(
        "--timeout", type=options.seconds, default=300.0, help="seconds to wait (300)"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--async",
        dest="asynchronous",
        action="store_true",
        help="ask for an answer later, and wait for it where the gateway says that it will be",
    )
    way.add_argument(
        "--lambda",
        dest="as_lambda",
        action="store_true",
        help="through Lambda's API: the data is the event as JSON ({}), the answer its result; a "
        "cluster lets in whom Helm's gateway.api.secretName names: with its token, give --gateway "
        "and -H 'Authorization: Bearer TOKEN'",
    )
    way.add_argument(
        "--wait",
        action="store_true",
        help="of a Job Function: show the run's progress, and print its result; 1 if it failed",
    )
    options.add_gateway(parser)


def run(args: argparse.Namespace) -> int:
    """Send the request and print the answer; return 1 when it says that something failed."""
    return int(asyncio.run(import_module("torpor.cli.calling").call(args)))
