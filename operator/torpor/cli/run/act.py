"""`torpor run cancel|retry`."""

from __future__ import annotations

import argparse
import sys
import uuid

from torpor.cli import gatewayreach
from torpor.cli.run import gateway
from torpor.cli.run.following import Patience, follow
from torpor.cli.run.look import details_of, name_of
from torpor.resources.run import RunState


async def cancel(args: argparse.Namespace) -> int:
    """Cancel the run; with --follow wait until it has stopped."""
    name = name_of(args)
    async with gatewayreach.connect(args) as way:
        await gateway.cancel(way, name)
        print(f"{name} is told to stop", file=sys.stderr)
        if not args.follow:
            return 0
        run = await follow(way, name, Patience.of(args))
    return 0 if run.state is RunState.CANCELLED else 1


async def retry(args: argparse.Namespace) -> int:
    """Start another run with the same input, and print its id."""
    details = await details_of(args)
    async with gatewayreach.connect(args) as way:
        name = await gateway.start(way, details.run.key, details.input, str(uuid.uuid4()))
        print(name.id, flush=True)
        if not args.follow:
            return 0
        run = await follow(way, name, Patience.of(args))
    return 0 if run.state is RunState.SUCCEEDED else 1
