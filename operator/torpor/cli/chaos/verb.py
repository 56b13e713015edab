"""Breaks something on purpose, and says what was lost by it.

With --dashboard (or TORPOR_DASHBOARD, as torpor dev prints it) the faults are done to the processes
of that torpor dev. Else they are done to a cluster with your own kubeconfig: pods are deleted
without grace. A cluster's namespace must agree by the label torpor.dev/chaos: allowed, or you do,
by --yes or when asked. fill-queue sends its messages by the SQS API of --endpoint
(TORPOR_EVENTS), or of the cluster.
"""

from __future__ import annotations

import argparse
import os

from torpor.cli import options
from torpor.cli.acting import act

DASHBOARD_VARIABLE = "TORPOR_DASHBOARD"
MOST_MESSAGES = 100_000
_LONGEST_SECONDS = 3600.0
SHORTEST_TURN_SECONDS, LONGEST_TURN_SECONDS = 0.05, 10.0
"""What torpor dev takes for one turn."""
_Verbs = options.Actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every fault with its options."""
    verbs = options.actions(parser)
    _add_fault(
        verbs, "kill-run", "kill a run's processes or pods", "RUN", "a run, or its Job Function"
    )
    _add_fault(verbs, "kill-pod", "kill one instance of a Function", "FUNCTION", "the Function")
    _add_fault(verbs, "kill-engine", "kill an engine, which has time for nothing")
    slow = _add_fault(
        verbs,
        "slow",
        "have a Function stand still, again and again (torpor dev only)",
        "FUNCTION",
        "the Function",
    )
    slow.add_argument(
        "--seconds", type=_turn, required=True, help="how long it stands still each time (0.05-10)"
    )
    slow.add_argument(
        "--for",
        type=_seconds,
        default=30.0,
        dest="duration",
        metavar="SECONDS",
        help="for how long in all (30)",
    )
    _add_fill(verbs)


def run(args: argparse.Namespace) -> int:
    """Do one fault: 0 when it was done."""
    return act("chaos.act", str(args.action).replace("-", "_"), args)


def _add_fault(
    verbs: _Verbs[argparse.ArgumentParser], fault: str, text: str, *named: str
) -> argparse.ArgumentParser:
    parser = options.action(verbs, fault, text)
    if named:
        metavar, what = named
        parser.add_argument("name", metavar=metavar, help=f"{what}: NAME or NAMESPACE/NAME")
    options.add_cluster(parser)
    options.add_place(parser)
    parser.add_argument(
        "--dashboard",
        default=os.environ.get(DASHBOARD_VARIABLE),
        help=f"the dashboard of torpor dev, as it prints it (${DASHBOARD_VARIABLE})",
    )
    _add_consent(parser)
    return parser


def _add_fill(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = options.action(verbs, "fill-queue", "send many messages to a queue")
    parser.add_argument("name", metavar="QUEUE", help="the queue: NAME or NAMESPACE/NAME")
    parser.add_argument(
        "--messages", type=_count, required=True, help=f"how many, at most {MOST_MESSAGES:,}"
    )
    parser.add_argument(
        "--body", default="{}", help="the body of each ({}); {n} in it is the message's number"
    )
    options.add_events(parser)
    _add_consent(parser)


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if 0 < found <= _LONGEST_SECONDS:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to {_LONGEST_SECONDS:g} seconds")


def _turn(text: str) -> float:
    least, most = SHORTEST_TURN_SECONDS, LONGEST_TURN_SECONDS
    found = _seconds(text)
    if least <= found <= most:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is not from {least:g} to {most:g} seconds")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= MOST_MESSAGES:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not from 1 to {MOST_MESSAGES:,}")
