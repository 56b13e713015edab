"""`torpor dlq list|show|redrive|purge`: what was given up, stretch by stretch."""

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


async def list(args: argparse.Namespace) -> int:
    """Print dead letters."""
    selection = _selection(args)
    async with eventsreach.internal(args) as role:
        letters = await _letters(role, selection, args.limit + 1)
    if len(letters) > args.limit:
        letters = letters[: args.limit]
        text = f"torpor dlq: there are more than these {args.limit}: --limit says how many to list"
        print(text, file=sys.stderr)
    if letters or args.output in (output.Form.JSON, output.Form.YAML):
        output.print_items(args.output, letters, triggershow.letters(datetime.now(UTC)))
    else:
        print("torpor dlq: no dead letters", file=sys.stderr)
    return 0


async def show(args: argparse.Namespace) -> int:
    """Print all about one dead letter."""
    async with eventsreach.internal(args) as role:
        letter = await role.call("GET", f"{_PATH}/{args.number}")
        if args.data:
            content = await role.content(f"{_PATH}/{args.number}/data")
            await asyncio.to_thread(Path(args.data).write_bytes, content)
            print(f"torpor dlq: {len(content)} bytes in {args.data}", file=sys.stderr)
    output.print_item(
        args.output, letter, str(letter["seq"]), lambda: triggershow.show_letter(letter)
    )
    return 0


async def redrive(args: argparse.Namespace) -> int:
    """Have them delivered again."""
    selection = _selection(args)
    async with eventsreach.internal(args) as role:
        if args.dry_run:
            return await _count(role, selection, "would be delivered again")
        moved = left = 0
        place: dict[str, Any] = {"after": 0, "last": 0}
        while place["after"] is not None and (args.limit is None or moved < args.limit):
            rest = None if args.limit is None else args.limit - moved
            body = {**selection, "rate": args.rate, "limit": rest, **place}
            told = await role.call("POST", f"{_PATH}/redrive", body)
            moved, left = moved + told["moved"], left + told["left"]
            place = {"after": told["after"], "last": told.get("last", 0)}
    print(f"{output.counted(moved, 'is', 'are')} delivered again")
    if left:
        print(f"{left} stay: they are no events, or their Trigger is gone", file=sys.stderr)
    return 0


async def purge(args: argparse.Namespace) -> int:
    """Delete them."""
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
) -> tuple[dict[str, Any], ...]:
    found: tuple[dict[str, Any], ...] = ()
    after: int | None = 0
    while after is not None and (limit is None or len(found) < limit):
        most = _STRETCH if limit is None else min(_STRETCH, limit - len(found))
        query = urlencode({**selection, "limit": most, "after": after})
        page = await role.call("GET", f"{_PATH}?{query}")
        found = (*found, *page["letters"])
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
