"""Lists, shows, redrives and purges dead letters: the events that were given up."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from torpor.cli import cluster, eventsreach, output, triggershow
from torpor.cli.moments import moment
from torpor.cli.workflow.data import BadData

_PATH = "/v1/deadletters"
_STRETCH = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add list, show, redrive and purge."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _add_selecting(verbs, "list", "one line for each dead letter, the oldest first")
    listing.add_argument("--limit", type=int, default=50, help="at most so many (50)")
    showing = _add(verbs, "show", "one dead letter: event, error, attempts, trace")
    showing.add_argument("number", type=int, help="its number, as list shows it")
    showing.add_argument("--data", metavar="FILE", help="write data kept beside it into a file")
    for one in (listing, showing):
        one.add_argument("-o", "--output", choices=output.FORMATS, default="table", help="(table)")
    redriving = _add_selecting(verbs, "redrive", "deliver them again, with all their attempts")
    redriving.add_argument("--rate", type=float, default=100.0, help="so many a second (100)")
    redriving.add_argument("--limit", type=int, help="at most so many (all)")
    purging = _add_selecting(verbs, "purge", "delete them; they are gone then")
    for one in (redriving, purging):
        one.add_argument("--dry-run", action="store_true", help="only say how many they are")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    actions = {"list": _list, "show": _show, "redrive": _redrive, "purge": _purge}
    return asyncio.run(actions[args.action](args))


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    eventsreach.add_arguments(parser)
    return parser


def _add_selecting(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = _add(verbs, name, text)
    parser.add_argument("name", nargs="?", help="the Trigger's (all of the namespace)")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("--error", help="only with this in the error's text")
    parser.add_argument("--since", help="given up since: RFC 3339, or an age such as 2h")
    parser.add_argument("--until", help="given up before")
    return parser


async def _list(args: argparse.Namespace) -> int:
    selection = _selection(args)
    async with eventsreach.internal(args) as role:
        letters = await _letters(role, selection, args.limit + 1)
    if len(letters) > args.limit:
        letters = letters[: args.limit]
        text = f"torpor dlq: there are more than these {args.limit}: --limit says how many to list"
        print(text, file=sys.stderr)
    if args.output != "table":
        print(output.document({"items": letters}, args.output))
    elif letters:
        print(triggershow.letters_table(letters, datetime.now(UTC)))
    else:
        print("torpor dlq: no dead letters", file=sys.stderr)
    return 0


async def _show(args: argparse.Namespace) -> int:
    async with eventsreach.internal(args) as role:
        letter = await role.call("GET", f"{_PATH}/{args.number}")
        if args.data:
            content = await role.content(f"{_PATH}/{args.number}/data")
            await asyncio.to_thread(Path(args.data).write_bytes, content)
            print(f"torpor dlq: {len(content)} bytes in {args.data}", file=sys.stderr)
    table = args.output == "table"
    print(triggershow.show_letter(letter) if table else output.document(letter, args.output))
    return 0


async def _redrive(args: argparse.Namespace) -> int:
    selection = _selection(args)
    async with eventsreach.internal(args) as role:
        if args.dry_run:
            return await _count(role, selection, "would be delivered again")
        moved = left = 0
        after: int | None = 0
        while after is not None and (args.limit is None or moved < args.limit):
            rest = None if args.limit is None else args.limit - moved
            body = {**selection, "rate": args.rate, "limit": rest, "after": after}
            told = await role.call("POST", f"{_PATH}/redrive", body)
            moved, left, after = moved + told["moved"], left + told["left"], told["after"]
    print(f"{output.counted(moved, 'is', 'are')} delivered again")
    if left:
        print(f"{left} stay: they are no events, or their Trigger is gone", file=sys.stderr)
    return 0


async def _purge(args: argparse.Namespace) -> int:
    selection = _selection(args)
    async with eventsreach.internal(args) as role:
        if args.dry_run:
            return await _count(role, selection, "would be deleted")
        purged, after = 0, 0
        while after is not None:
            query = urlencode({**selection, "limit": _STRETCH, "after": after})
            told = await role.call("DELETE", f"{_PATH}?{query}")
            purged, after = purged + told["purged"], told["after"]
    print(f"{purged} deleted")
    return 0


async def _count(role: eventsreach.Events, selection: Mapping[str, Any], what: str) -> int:
    print(f"{len(await _letters(role, selection, None))} {what}")
    return 0


async def _letters(
    role: eventsreach.Events, selection: Mapping[str, Any], limit: int | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None and (limit is None or len(found) < limit):
        most = _STRETCH if limit is None else min(_STRETCH, limit - len(found))
        query = urlencode({**selection, "limit": most, "after": after})
        page = await role.call("GET", f"{_PATH}?{query}")
        found += page["letters"]
        after = page["after"]
    return found


def _selection(args: argparse.Namespace) -> dict[str, Any]:
    """What the options choose, as members of a request; those that choose nothing are left out."""
    now = datetime.now(UTC)
    if args.all_namespaces:
        if args.name:
            raise BadData("give a Trigger's name or -A, not both")
        found: dict[str, Any] = {}
    elif args.name:
        key = cluster.key_of(args)
        found = {"namespace": key.namespace, "trigger": key.name}
    else:
        found = {"namespace": cluster.namespace_of(args)}
    for name in ("since", "until"):
        text = getattr(args, name)
        if text:
            found[name] = moment(text, now)
    return {**found, "error": args.error} if args.error else found
