"""Lists functions, calls and loads one, tells all about it, waits for it, deletes it."""

from __future__ import annotations

import argparse
import re

from torpor.cli import invoke, logs, options
from torpor.cli.acting import act

_MODULES = {
    "list": "fnlook.list",
    "show": "fnlook.show",
    "logs": "fnlook.logs",
    "invoke": "calling.call",
    "load": "fnload.load",
    "wait": "fnwait.wait",
    "delete": "fndelete.delete",
}
_CONDITION = re.compile(r"condition=[A-Z][A-Za-z]*(=(True|False|Unknown))?")
_Verbs = options.Actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every action with its options."""
    verbs = options.actions(parser)
    listing = _action(verbs, "list", "one line for each function")
    options.add_everywhere(listing)
    options.add_form(listing)
    showing = _named(verbs, "show", "state, decisions, replicas, cold starts by phase, what to do")
    options.add_form(showing)
    _add_logs(verbs)
    invoke.add_arguments(options.action(verbs, "invoke", "send one request: torpor invoke"))
    _add_load(verbs)
    _add_wait(verbs)
    _add_delete(verbs)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    module, _, name = _MODULES[args.action].partition(".")
    return act(module, name, args)


def _add_logs(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    logs.add_options(_named(verbs, "logs", "what the function's instances write: torpor logs"))


def _add_load(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    text = "send requests at a steady pace; a request's time counts from when it was due"
    load = _named(verbs, "load", text)
    load.add_argument("--rps", type=float, default=10.0, help="requests a second (10)")
    load.add_argument("--seconds", type=float, default=10.0, help="for so long (10)")
    load.add_argument(
        "--concurrency", type=int, default=500, help="at most so many open at once (500)"
    )
    load.add_argument(
        "--timeout", type=options.seconds, default=60.0, help="seconds for one request (60)"
    )
    options.add_request(load)
    options.add_gateway(load)
    options.add_text_or_data(load)


def _add_wait(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    wait = _named(verbs, "wait", "wait until a function is as asked; 1: not in time")
    wait.add_argument(
        "--for",
        dest="wanted",
        type=_wanted,
        default="ready",
        metavar="{ready,zero,active,condition=TYPE[=STATUS]}",
        help="ready: it can serve; active: an instance serves; zero: none runs (ready)",
    )
    wait.add_argument("--timeout", type=options.seconds, default=60.0, help="seconds to wait (60)")


def _add_delete(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    delete = _named(verbs, "delete", "delete a function, and wait until all that it had is gone")
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")
    delete.add_argument(
        "--timeout", type=options.seconds, default=120.0, help="seconds to wait (120)"
    )


def _wanted(text: str) -> str:
    if text in ("ready", "zero", "active") or _CONDITION.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r}: write ready, zero, active, or such as condition=Stalled=False"
    )


def _named(verbs: _Verbs[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = _action(verbs, name, text)
    parser.add_argument("name", help="the function: NAME or NAMESPACE/NAME")
    return parser


def _action(
    verbs: _Verbs[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = options.action(verbs, name, text)
    options.add_cluster(parser)
    return parser
