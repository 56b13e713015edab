"""`torpor fn load`: a steady load through the gateway, what it met, and how replicas followed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from torpor.cli import cluster, gatewayreach, output
from torpor.cli.calling import request_of
from torpor.cli.cluster import Request, Unreachable
from torpor.cli.openloop import Measured, Outcome, Pace, drive
from torpor.errors import TorporError
from torpor.resources.names import HEADER_COLD_START, FunctionKey
from torpor.resources.ranks import nearest_rank

LOOK_SECONDS = 0.5
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Replicas:
    """So many instances served, from so many seconds after the first request on."""

    seconds: float
    ready: int


async def load(args: argparse.Namespace) -> int:
    """Send the load and print what was measured; 0 when every answer was below 400."""
    key = cluster.key_of(args)
    pace = Pace(args.rps, args.seconds, args.concurrency)
    request = request_of(args, key, "GET")
    measured = Measured()
    async with gatewayreach.connect(args) as gateway, _watched(args, key) as replicas:
        try:
            await drive(pace, lambda: _one(gateway, request), measured)
        finally:  # after Ctrl-C as well
            print(_told(args, measured, replicas))
    return int(measured.failed > 0)


def _told(args: argparse.Namespace, measured: Measured, replicas: Sequence[Replicas]) -> str:
    if args.output == output.Form.TABLE:
        return _text(measured, replicas)
    return output.document(_data(measured, replicas), args.output)


async def _one(gateway: gatewayreach.Gateway, request: Request) -> Outcome:
    try:
        async with gateway.send(request) as answer:
            await answer.read()
            cold = answer.headers.get(HEADER_COLD_START, "")
            return Outcome(answer.status, int(cold) if cold.isascii() and cold.isdigit() else None)
    except Unreachable as error:
        return Outcome(None, problem=str(error))


@asynccontextmanager
async def _watched(args: argparse.Namespace, key: FunctionKey) -> AsyncIterator[list[Replicas]]:
    """Note how many instances serve while the block runs; nothing where no cluster can be asked.

    The kubeconfig is read before the block begins, for that takes a moment.
    """
    seen: list[Replicas] = []
    async with AsyncExitStack() as stack:
        api = await _cluster(stack, args, key)
        if api is None:
            yield seen
            return
        task = asyncio.create_task(_watch(api, key, seen), name=f"replicas of {key}")
        try:
            yield seen
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _cluster(
    stack: AsyncExitStack, args: argparse.Namespace, key: FunctionKey
) -> cluster.Cluster | None:
    try:
        api = await stack.enter_async_context(cluster.connect(args))
        await api.function(key)
    except TorporError:
        if args.gateway:
            return None  # such as that of torpor dev, which is no cluster
        raise
    return api


async def _watch(api: cluster.Cluster, key: FunctionKey, seen: list[Replicas]) -> None:
    clock = asyncio.get_running_loop().time
    start = clock()
    while True:
        try:
            status = (await api.function(key)).get("status") or {}
        except TorporError as error:
            print(f"torpor fn: replicas are not known any more: {error}", file=sys.stderr)
            return
        ready = int((status.get("replicas") or {}).get("ready", 0))
        if not seen or seen[-1].ready != ready:
            seen.append(Replicas(clock() - start, ready))
        await asyncio.sleep(LOOK_SECONDS)


def _text(measured: Measured, replicas: Sequence[Replicas]) -> str:
    sent = len(measured.latencies_seconds)
    milliseconds = _latencies(measured)
    shown = ", ".join(f"{name} {value:.0f} ms" for name, value in milliseconds.items())
    answers = ", ".join(f"{count} x {code}" for code, count in sorted(measured.statuses.items()))
    told = {
        "sent": f"{sent} in {measured.seconds:.1f} s, {sent / measured.seconds:.1f} a second",
        "answers": answers or "none",
        "latency": f"{shown}, from when each was due",
        "cold starts": _cold_starts(measured),
        "replicas": _replicas(replicas),
    }
    if measured.problems:
        told["no answer"] = "; ".join(
            f"{count} x {problem}" for problem, count in measured.problems.most_common(_MOST_SHOWN)
        )
    late = measured.latest_start_seconds
    if late >= milliseconds["p50"] / 1000 and late > 0.1:
        told["note"] = f"a request began {late:.2f} s late: raise --concurrency, or ask for less"
    return "\n".join(output.facts(told))


def _cold_starts(measured: Measured) -> str:
    values = measured.cold_starts_milliseconds
    if not values:
        return "none seen"
    spread = f"{values[0]} ms" if len(values) == 1 else f"{min(values)} to {max(values)} ms"
    return f"{output.counted(measured.cold_starts, 'answer', 'answers')} waited for one, {spread}"


def _replicas(seen: Sequence[Replicas]) -> str:
    if not seen:
        return "not known: no cluster to ask"
    return ", ".join(f"{it.ready} from {it.seconds:.1f} s" for it in seen)


def _latencies(measured: Measured) -> dict[str, float]:
    ranked = sorted(measured.latencies_seconds)
    return {name: round(1000 * nearest_rank(ranked, share), 3) for name, share in SHARES.items()}


def _data(measured: Measured, replicas: Sequence[Replicas]) -> Mapping[str, Any]:
    return {
        "sent": len(measured.latencies_seconds),
        "seconds": round(measured.seconds, 3),
        "latencyMilliseconds": _latencies(measured),
        "statuses": {str(code): count for code, count in sorted(measured.statuses.items())},
        "noAnswer": dict(measured.problems),
        "coldStarts": {
            "count": measured.cold_starts,
            "milliseconds": measured.cold_starts_milliseconds,
        },
        "replicas": [{"seconds": round(it.seconds, 1), "ready": it.ready} for it in replicas],
    }
