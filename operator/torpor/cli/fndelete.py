"""`torpor fn delete`: the Function, and then all that was made for it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from torpor.cli import cluster
from torpor.cli.fnwait import LOOK_SECONDS, NotInTime
from torpor.cli.options import BadOption
from torpor.errors import ApiNotFound
from torpor.platform.kubernetes.resources import (
    DEPLOYMENTS,
    FUNCTIONS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
)
from torpor.resources.names import LABEL_FUNCTION, FunctionKey

_CHILDREN = (DEPLOYMENTS, SERVICES, NETWORK_POLICIES, PODS)


async def delete(args: argparse.Namespace) -> int:
    """Delete it once that is confirmed; 1 when it is not."""
    key = cluster.key_of(args)
    async with cluster.connect(args) as api:
        found = await api.function(key)
        if not args.yes and not _confirmed(key):
            print(f"torpor fn: {key} stays", file=sys.stderr)
            return 1
        await _delete(api, key, found["metadata"]["uid"])
        await _until_gone(api, key, found["metadata"]["uid"], args.timeout)
    print(f"{key} is deleted, and all that was made for it")
    return 0


def _confirmed(key: FunctionKey) -> bool:
    if not sys.stdin.isatty():
        raise BadOption(f"nobody is here to be asked: --yes deletes {key}")
    print(f"Delete the function {key}? Its URL answers 404 then. [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _delete(api: cluster.Cluster, key: FunctionKey, uid: str) -> None:
    """Delete this very Function; one that somebody made anew under its name stays."""
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    }
    try:
        await api.call("DELETE", FUNCTIONS.path(key.namespace, key.name), body)
    except ApiNotFound:
        return  # somebody else was quicker


async def _until_gone(
    api: cluster.Cluster, key: FunctionKey, uid: str, timeout_seconds: float
) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    while True:
        left = await _left(api, key, uid)
        if not left:
            return
        if clock() + LOOK_SECONDS > deadline:
            raise NotInTime(f"{key} is deleted, but not within {timeout_seconds:g} s: {left}")
        await asyncio.sleep(LOOK_SECONDS)


async def _left(api: cluster.Cluster, key: FunctionKey, uid: str) -> str:
    """Return what is still there in words; nothing counts that belongs to a successor."""
    try:
        found: dict[str, Any] | None = await api.get(FUNCTIONS.path(key.namespace, key.name))
    except ApiNotFound:
        found = None
    if found is not None:
        return f"Function {key.name}" if found["metadata"]["uid"] == uid else ""
    query = {"labelSelector": f"{LABEL_FUNCTION}={key.name}"}
    names: list[str] = []
    for kind in _CHILDREN:
        items = (await api.get(kind.path(key.namespace), query))["items"]
        names += [f"{kind.kind} {item['metadata']['name']}" for item in items]
    return ", ".join(names)
