"""A replay, stretch by stretch, until all of it is done."""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from torpor.cli import cluster, eventsreach, output
from torpor.cli.eventsreach import EventsRefused
from torpor.cli.moments import moment
from torpor.cli.workflow.data import json_data
from torpor.errors import TorporError

_STRETCH_SECONDS = 2.0
_MOST_PER_SECOND = 5_000.0


class ReplayEnded(TorporError):
    """A replay that ended before all was delivered again; the text says where to go on."""

    code = "replay-ended"


async def replay(args: argparse.Namespace) -> int:
    """Replay; 0 when it was done."""
    request = _request(args)
    events = deliveries = skipped = 0
    async with eventsreach.internal(args) as role:
        while args.limit is None or events < args.limit:
            request["limit"] = _stretch(args, events)
            try:
                told = await role.call("POST", "/v1/replay", request)
            except TorporError as error:
                raise _ended(error, request, events) from error
            events += told["events"]
            deliveries += told["deliveries"]
            skipped += told["skipped"]
            request["after"] = told["after"]
            if told["after"] is None:
                break
    again = output.counted(events, "event is", "events are")
    print(f"{again} delivered again, in {output.counted(deliveries, 'delivery', 'deliveries')}")
    if skipped:
        print(f"{skipped} could not be read")
    return 0


def _stretch(args: argparse.Namespace, events: int) -> int:
    """How many to ask for at a time: what an answer that is lost leaves unknown."""
    rate = max(0.0, min(_MOST_PER_SECOND, args.rate))
    most = max(1, int(rate * _STRETCH_SECONDS))
    return most if args.limit is None else min(most, args.limit - events)


def _ended(error: TorporError, request: Mapping[str, Any], events: int) -> TorporError:
    """Say how far it got; what is refused at once has not begun."""
    after = request.get("after")
    if isinstance(error, EventsRefused) and after is None:
        return error
    again = output.counted(events, "event was", "events were")
    known = f"{again} delivered again, and up to {request['limit']} more may have been"
    on = "the same command begins anew" if after is None else f"--after {after} goes on"
    return ReplayEnded(f"{error}: {known}; {on}")


def _request(args: argparse.Namespace) -> dict[str, Any]:
    """One occasion for all stretches, so that none is delivered twice."""
    key, now = cluster.key_of(args), datetime.now(UTC)
    request: dict[str, Any] = {
        "namespace": key.namespace,
        "bus": key.name,
        "occasion": str(uuid.uuid4()),
        "rate": args.rate,
        "trigger": args.trigger,
        "after": args.after,
        "until": moment(args.until, now) if args.until else now.timestamp(),
    }
    if args.since:
        request["since"] = moment(args.since, now)
    if args.pattern:
        request["filter"] = {"pattern": json.loads(json_data(args.pattern))}
    elif args.cesql:
        request["filter"] = {"cesql": args.cesql}
    return request
