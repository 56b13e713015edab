"""Lists Triggers, tells all about one, pauses and resumes it, tries it with an event.

In a cluster Triggers are read from the API server; with --admin (or TORPOR_EVENTS_ADMIN) from
the events role directly, as for torpor dev.
"""

from __future__ import annotations

import argparse

from torpor.cli import options
from torpor.cli.acting import act

_MODULES = {
    "list": "triggerlook",
    "show": "triggerlook",
    "pause": "triggeract",
    "resume": "triggeract",
    "test": "triggeract",
}
_Verbs = options.Actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every action with its options."""
    verbs = options.actions(parser)
    listing = _add(verbs, "list", "one line for each Trigger")
    options.add_everywhere(listing)
    showing = _add(verbs, "show", "source, filter, target, state and counts of one")
    for one in (listing, showing):
        options.add_form(one)
    pausing = _add(verbs, "pause", "stop reading its source and delivering; events wait")
    resuming = _add(verbs, "resume", "go on where it was paused")
    for one in (showing, pausing, resuming):
        one.add_argument("name", help="the Trigger: NAME or NAMESPACE/NAME")
    _add_test(verbs)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    return act(_MODULES[args.action], args.action, args)


def _add_test(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    text = "would it take this event, and what would be sent? 0: it matches, 1: it does not"
    parser = _add(verbs, "test", text)
    parser.add_argument("name", nargs="?", help="the Trigger, unless -f is given")
    parser.add_argument("-f", "--file", help="a manifest with the Trigger, in force or not")
    parser.add_argument(
        "-d",
        "--data",
        required=True,
        help="a CloudEvent as JSON, or the data of one; @FILE reads it from a file, @- from stdin",
    )
    options.add_text_or_data(parser)


def _add(verbs: _Verbs[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = options.action(verbs, name, text)
    options.add_events(parser)
    return parser
