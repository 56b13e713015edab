"""`torpor run cancel|retry`."""

from __future__ import annotations

import argparse
import sys
import uuid

from torpor.cli import gatewayreach
from torpor.cli.gatewayreach import Gateway
from torpor.cli.run import gateway
from torpor.cli.run.following import Patience, follow
from torpor.cli.run.look import details_of, name_of
from torpor.cli.run.values import NoSuchRun, RunName
from torpor.resources.run import RunState
from torpor.resources.run_details import RunDetails


async def cancel(args: argparse.Namespace) -> int:
    """Cancel the run; with --follow wait until it has stopped."""
    name = name_of(args)
    async with gatewayreach.connect(args) as way:
        before = await gateway.wait(way, name, 0)
        if before.state.is_final:
            print(f"{name} has ended: {before.state.value}", file=sys.stderr)
            return 0 if before.state is RunState.CANCELLED else 1
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
        name = await _started(way, details)
        print(name.id, flush=True)
        if not args.follow:
            return 0
        run = await follow(way, name, Patience.of(args))
    return 0 if run.state is RunState.SUCCEEDED else 1


async def _started(way: Gateway, details: RunDetails) -> RunName:
    key = details.run.key
    try:
        return await gateway.start(way, key, details.input, str(uuid.uuid4()))
    except NoSuchRun as error:
        text = f"there is no function {key} any more ({error}): apply it, and retry again"
        raise gateway.RunRefused(text) from error
