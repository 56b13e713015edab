"""Publishes one event to a bus, or puts it into a queue."""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from typing import Any

from torpor.cli import cluster, eventsreach
from torpor.cli.workflow.data import BadData, json_data

_STRUCTURED = {"Content-Type": "application/cloudevents+json"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    eventsreach.add_arguments(parser)
    parser.add_argument("name", metavar="BUS", help="the bus or queue: NAME or NAMESPACE/NAME")
    parser.add_argument("--queue", action="store_true", help="it is a queue")
    parser.add_argument(
        "-d", "--data", help="the event's data as JSON ({}); @FILE reads a file, @- stdin"
    )
    parser.add_argument("--event", help="a whole CloudEvent as JSON, in place of all else; @FILE")
    parser.add_argument("--type", default="dev.torpor.cli", help="its type (dev.torpor.cli)")
    parser.add_argument("--source", default="/torpor/cli", help="its source (/torpor/cli)")
    parser.add_argument("--subject", help="its subject")
    parser.add_argument("--id", help="its id (a random one); the same id is stored once")


def run(args: argparse.Namespace) -> int:
    """Publish; 0 when it is stored."""
    return asyncio.run(_publish(args))


async def _publish(args: argparse.Namespace) -> int:
    key = cluster.key_of(args)
    kind = "queues" if args.queue else "buses"
    path = f"/v1/namespaces/{key.namespace}/{kind}/{key.name}/events"
    async with eventsreach.public(args) as api:
        answer = await api.call("POST", path, _event(args), _STRUCTURED)
    for event in answer["events"]:
        note = " (it was there already)" if event["duplicate"] else ""
        print(f"{event['id']}{note}")
    return 0


def _event(args: argparse.Namespace) -> Any:
    if args.event:
        if args.data:
            raise BadData("give --event or --data, not both")
        return json.loads(json_data(args.event))
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": args.id or str(uuid.uuid4()),
        "source": args.source,
        "type": args.type,
        "datacontenttype": "application/json",
        "data": json.loads(json_data(args.data)),
    }
    return {**event, "subject": args.subject} if args.subject else event
