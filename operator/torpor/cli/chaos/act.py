"""Each fault as a coroutine: done to `torpor dev` where one is named, else to the cluster."""

from __future__ import annotations

import argparse
import asyncio

from torpor.cli import cluster
from torpor.cli.chaos import pods, queue
from torpor.cli.chaos.consent import agreed
from torpor.cli.chaos.local import DevChaos, opened
from torpor.cli.chaos.outcome import Outcome, tell
from torpor.cli.chaos.verb import SHORTEST_TURN_SECONDS
from torpor.cli.options import BadOption
from torpor.resources.names import FunctionKey

SHARE_SECONDS = 0.1
"""What it gets between two turns, so that it is slow and not dead."""


async def kill_run(args: argparse.Namespace) -> int:
    """Kill the processes or pods of a run."""
    return await _kill(args, "kill-run", pods.kill_run)


async def kill_pod(args: argparse.Namespace) -> int:
    """Kill one instance of a Function."""
    return await _kill(args, "kill-pod", pods.kill_pod)


async def kill_engine(args: argparse.Namespace) -> int:
    """Kill an engine."""
    if args.dashboard:
        async with opened(args.dashboard) as dev:
            return tell(await dev.fault("kill-engine", {}))
    namespace = str(args.torpor_namespace)
    async with cluster.connect(args) as api:
        await agreed(api, namespace, args.yes, f"kill an engine in {namespace}")
        return tell(await pods.kill_engine(api, namespace))


async def slow(args: argparse.Namespace) -> int:
    """Have a Function get only a share of its time, for a while."""
    if not args.dashboard:
        raise BadOption(
            "slow is for torpor dev (--dashboard): nothing outside of a pod can stop its "
            "processes without rights on its node. On a cluster give the Function less CPU: "
            "kubectl patch function NAME --type merge -p "
            '\'{"spec": {"resources": {"limits": {"cpu": "50m"}}}}\''
        )
    key = cluster.key_of(args)
    async with opened(args.dashboard) as dev:
        return tell(await _turns(dev, key, args.seconds, args.duration))


async def fill_queue(args: argparse.Namespace) -> int:
    """Send many messages to a queue."""
    key = cluster.key_of(args)
    if not args.endpoint:
        async with cluster.connect(args) as api:
            task = f"send {args.messages:,} messages to the queue {key}"
            await agreed(api, key.namespace, args.yes, task)
    return tell(await queue.fill(args, key))


async def _kill(args: argparse.Namespace, fault: str, on_cluster: pods.Kill) -> int:
    key = cluster.key_of(args)
    if args.dashboard:
        async with opened(args.dashboard) as dev:
            body = {"namespace": key.namespace, "name": key.name}
            return tell(await dev.fault(fault, body))
    async with cluster.connect(args) as api:
        await agreed(api, key.namespace, args.yes, f"{fault} {key}")
        return tell(await on_cluster(api, key))


async def _turns(dev: DevChaos, key: FunctionKey, seconds: float, duration: float) -> Outcome:
    """Have it stand still turn by turn; each is a request, so that whoever leaves ends it."""
    clock = asyncio.get_running_loop().time
    began, turns = clock(), 0
    while True:
        left = began + duration - clock()
        turn = max(SHORTEST_TURN_SECONDS, min(seconds, left))
        body = {"namespace": key.namespace, "name": key.name, "seconds": turn}
        told = await dev.fault("slow", body)
        turns += 1
        if clock() + SHARE_SECONDS >= began + duration:
            did = f"function {key}: stood still {turns} times for {seconds:g} s"
            return Outcome(did, told.lost, told.watch)
        await asyncio.sleep(SHARE_SECONDS)
