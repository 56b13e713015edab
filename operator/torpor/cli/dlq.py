"""Lists, shows, redrives and purges dead letters: the events that were given up."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add list, show, redrive and purge."""
    verbs = options.actions(parser)
    listing = _add_selecting(verbs, "list", "one line for each dead letter, the oldest first")
    listing.add_argument("--limit", type=int, default=50, help="at most so many (50)")
    showing = _add(verbs, "show", "one dead letter: event, error, attempts, trace")
    showing.add_argument("number", type=int, help="its number, as list shows it")
    showing.add_argument("--data", metavar="FILE", help="write data kept beside it into a file")
    for one in (listing, showing):
        options.add_form(one)
    redriving = _add_selecting(verbs, "redrive", "deliver them again, with all their attempts")
    redriving.add_argument("--rate", type=float, default=100.0, help="so many a second (100)")
    redriving.add_argument("--limit", type=int, help="at most so many (all)")
    purging = _add_selecting(verbs, "purge", "delete them; they are gone then")
    for one in (redriving, purging):
        one.add_argument("--dry-run", action="store_true", help="only say how many they are")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    action = getattr(import_module("torpor.cli.dlqact"), args.action)
    return int(asyncio.run(action(args)))


def _add(
    verbs: options.Actions[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = options.action(verbs, name, text)
    options.add_events(parser)
    return parser


def _add_selecting(
    verbs: options.Actions[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = _add(verbs, name, text)
    parser.add_argument("name", nargs="?", help="the Trigger's (all of the namespace)")
    options.add_everywhere(parser)
    parser.add_argument("--error", help="only with this in the error's text")
    parser.add_argument("--since", help="given up since: RFC 3339, or an age such as 2h")
    parser.add_argument("--until", help="given up before")
    return parser
