"""One event on its way to a bus or a queue."""

from __future__ import annotations

import argparse
import json
import uuid
from typing import Any

from torpor.cli import cluster, eventsreach
from torpor.cli.workflow.data import BadData, json_data

_STRUCTURED = {"Content-Type": "application/cloudevents+json"}


async def publish(args: argparse.Namespace) -> int:
    """Publish; 0 when it is stored."""
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
