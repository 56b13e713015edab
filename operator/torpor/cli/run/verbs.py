"""Lists, shows, follows, cancels and repeats the runs of Job Functions.

A run is its id, or NAMESPACE/ID: what invoking a Job Function answers. With --gateway (or
TORPOR_GATEWAY) torpor dev is asked at that address; else the runs are found in the cluster.
"""

from __future__ import annotations

import argparse

from torpor.cli import options
from torpor.cli.acting import act

_MODULES = {
    "list": "look",
    "show": "look",
    "logs": "logs",
    "cancel": "act",
    "retry": "act",
}
_Verbs = options.Actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every action with its options."""
    verbs = options.actions(parser)
    _add_list(verbs)
    _add_show(verbs)
    _add_logs(verbs)
    _add_follow(_named(verbs, "cancel", "have a run stop: its programs get SIGTERM and a grace"))
    _add_follow(_named(verbs, "retry", "start a run anew, as another one with the same input"))


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done, 1 when a run that was followed failed."""
    return act(f"run.{_MODULES[args.action]}", args.action, args)


def _add_list(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    listing = _action(verbs, "list", "one line for each run that goes on, the newest first")
    listing.add_argument("--all", action="store_true", help="also those that have ended")
    listing.add_argument("--function", help="only the runs of this function")
    options.add_everywhere(listing)
    options.add_form(listing)


def _add_show(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    text = "state and why, progress, attempts of each index, result, what it cost"
    showing = _named(verbs, "show", text)
    showing.add_argument(
        "--pod-hour", type=float, metavar="PRICE", help="tell the cost, at this price of a pod-hour"
    )
    options.add_form(showing)


def _add_logs(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    logs = _named(verbs, "logs", "what the programs of a run write")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    logs.add_argument("--index", type=int, help="only of this index")
    logs.add_argument("--all", action="store_true", help="also of attempts that failed")


def _add_follow(parser: argparse.ArgumentParser) -> None:
    text = "wait for the end, and show progress; 1 unless the run succeeded"
    parser.add_argument("-f", "--follow", action="store_true", help=text)
    parser.add_argument("--timeout", type=options.seconds, metavar="SECONDS", help="wait no longer")


def _named(verbs: _Verbs[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = _action(verbs, name, text)
    parser.add_argument("name", help="the run: ID or NAMESPACE/ID")
    return parser


def _action(
    verbs: _Verbs[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = options.action(verbs, name, text)
    options.add_cluster(parser)
    options.add_gateway(parser)
    return parser
