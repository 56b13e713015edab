"""`torpor fn wait`: until a Function is as asked, seen by its status."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any

from torpor.cli import cluster
from torpor.errors import TorporError
from torpor.resources.conditions import READY, find

LOOK_SECONDS = 0.5


class NotInTime(TorporError):
    """What was waited for did not come about."""

    code = "not-in-time"


async def wait(args: argparse.Namespace) -> int:
    """Return 0 as soon as the Function is as asked; NotInTime says how it stands instead."""
    key = cluster.key_of(args)
    clock = asyncio.get_running_loop().time
    deadline = clock() + args.timeout
    async with cluster.connect(args) as api:
        while True:
            obj = await api.function(key)
            if fulfils(obj, args.wanted):
                print(f"{key} {told(args.wanted)}")
                return 0
            if clock() + LOOK_SECONDS > deadline:
                raise NotInTime(f"{key}: not {args.wanted} within {args.timeout:g} s: {_why(obj)}")
            await asyncio.sleep(LOOK_SECONDS)


def fulfils(obj: Mapping[str, Any], wanted: str) -> bool:
    """Return whether a Function is as asked; a status of an older generation tells nothing."""
    status = obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return False
    replicas = status.get("replicas") or {}
    if wanted == "active":
        return int(replicas.get("ready", 0)) > 0
    if wanted == "zero":
        return bool(replicas) and not any(replicas.values())
    _, kind, truth = f"{wanted}==".split("=")[:3] if "=" in wanted else ("", READY, "")
    found = find(status.get("conditions", ()), kind)
    return found is not None and found["status"] == (truth or "True")


def told(wanted: str) -> str:
    """Return what was waited for, in words."""
    return {"ready": "is ready", "zero": "is at zero", "active": "is active"}.get(
        wanted, f"fulfils {wanted}"
    )


def _why(obj: Mapping[str, Any]) -> str:
    status = obj.get("status") or {}
    ready = find(status.get("conditions", ()), READY)
    if ready is None:
        return "Torpor has not seen it yet; torpor doctor looks why"
    replicas = status.get("replicas") or {}
    counts = ", ".join(f"{replicas.get(name, 0)} {name}" for name in ("desired", "ready"))
    return f"Ready is {ready['status']}, {ready['reason']}: {ready['message']} ({counts})"
