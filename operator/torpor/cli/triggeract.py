"""`torpor trigger pause|resume|test`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from torpor.cli import cluster, eventsreach, output, triggerobjects, triggershow
from torpor.cli.workflow.data import BadData, json_data
from torpor.dev import events_note, manifests


async def pause(args: argparse.Namespace) -> int:
    """Suspend a Trigger."""
    key = cluster.key_of(args)
    await triggerobjects.one(args, key)
    await triggerobjects.change(args, key, {"suspend": True})
    print(f"{key} is paused; torpor trigger resume {args.name} goes on")
    if events_note.found(args.endpoint):
        print("until torpor dev starts again or takes up a change; suspend: true in its file lasts")
    return 0


async def resume(args: argparse.Namespace) -> int:
    """End a Trigger's suspension."""
    key = cluster.key_of(args)
    await triggerobjects.one(args, key)
    await triggerobjects.change(args, key, {"suspend": False})
    print(f"{key} goes on")
    return 0


async def test(args: argparse.Namespace) -> int:
    """Try a Trigger with an event; 1 when it does not match."""
    request: dict[str, Any] = {"event": json.loads(json_data(args.data))}
    if args.file:
        request["object"] = _manifest(args)
    elif args.name:
        key = cluster.key_of(args)
        request |= {"namespace": key.namespace, "name": key.name}
    else:
        raise BadData("which Trigger? Give its name, or -f with its manifest")
    async with eventsreach.internal(args) as role:
        trial = await role.call("POST", "/v1/test", request)
    table = args.output == "table"
    print(triggershow.show_trial(trial) if table else output.document(trial, args.output))
    return 0 if trial["matches"] else 1


def _manifest(args: argparse.Namespace) -> Any:
    """The Trigger in a file: the only one, or the one that is named; BadFolder as the cluster."""
    triggers = [
        item.body
        for item in manifests.read(Path(args.file))
        if item.kind == "Trigger" and args.name in (None, item.body["metadata"]["name"])
    ]
    if len(triggers) != 1:
        raise BadData(f"{args.file}: {len(triggers)} Triggers; name the one that is meant")
    metadata = triggers[0]["metadata"]
    return {**triggers[0], "metadata": {"namespace": cluster.namespace_of(args), **metadata}}
