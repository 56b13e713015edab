"""Triggers as objects with status, from the cluster or from the events role of `torpor dev`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torpor.cli import eventsreach
from torpor.errors import ApiNotFound, TorporError
from torpor.platform.kubernetes.resources import TRIGGERS
from torpor.resources.names import FunctionKey
from torpor.triggers.standings import PATH


class NoSuchTrigger(TorporError):
    """There is no Trigger of that name, or no Triggers at all."""

    code = "no-such-trigger"


async def all_of(args: argparse.Namespace, namespace: str) -> list[dict[str, Any]]:
    """Return the Triggers of a namespace ("": of all), by name."""
    found = await (_of_role(args) if eventsreach.direct(args) else _of_cluster(args, namespace))
    own = [obj for obj in found if namespace in ("", obj["metadata"]["namespace"])]
    return sorted(own, key=lambda o: (o["metadata"]["namespace"], o["metadata"]["name"]))


async def one(args: argparse.Namespace, key: FunctionKey) -> dict[str, Any]:
    """Return a Trigger; NoSuchTrigger says how to find those there are."""
    try:
        if eventsreach.direct(args):
            async with eventsreach.internal(args) as role:
                return _object(await role.call("GET", f"{PATH}/{key}"))
        async with eventsreach.through_cluster(args) as api:
            return await api.get(TRIGGERS.path(key.namespace, key.name))
    except (ApiNotFound, eventsreach.EventsRefused):
        text = f"there is no Trigger {key}; `torpor trigger list -A` shows those there are"
        raise NoSuchTrigger(text) from None


async def change(args: argparse.Namespace, key: FunctionKey, spec: Mapping[str, Any]) -> None:
    """Have the spec's members be these; the others stay."""
    if eventsreach.direct(args) is None:
        return await _patch(args, key, {"spec": dict(spec)})
    async with eventsreach.internal(args) as role:
        found = await role.call("GET", f"{PATH}/{key}")
        obj = found["object"]
        obj["spec"] = {**obj["spec"], **spec}
        wanted = {"object": obj, "function": found["function"]}
        await role.call("PUT", f"{PATH}/{key}", wanted)


async def _patch(args: argparse.Namespace, key: FunctionKey, change: Mapping[str, Any]) -> None:
    path = TRIGGERS.path(key.namespace, key.name)
    async with eventsreach.through_cluster(args) as api:
        await api.call("PATCH", path, change, "application/merge-patch+json")


async def _of_cluster(args: argparse.Namespace, namespace: str) -> list[dict[str, Any]]:
    async with eventsreach.through_cluster(args) as api:
        try:
            items: list[dict[str, Any]] = (await api.get(TRIGGERS.path(namespace)))["items"]
        except ApiNotFound:
            text = "this cluster knows no Triggers: install the chart torpor-crds"
            raise NoSuchTrigger(text) from None
    return items


async def _of_role(args: argparse.Namespace) -> list[dict[str, Any]]:
    async with eventsreach.internal(args) as role:
        standings = (await role.call("GET", PATH))["triggers"]
        return [_object(await role.call("GET", f"{PATH}/{each['key']}")) for each in standings]


def _object(found: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the status that a controller would write, so that both look alike."""
    obj, standing = found["object"], found["standing"]
    ready = standing["subscribed"] and not obj["spec"].get("suspend")
    reason = "Suspended" if obj["spec"].get("suspend") else standing["reason"]
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": reason,
        "message": standing["message"],
    }
    status = {
        "lag": standing["lag"] + standing["waiting"],
        "deadLetters": standing["deadLetters"],
        "conditions": [condition],
    }
    return {**obj, "status": status}
