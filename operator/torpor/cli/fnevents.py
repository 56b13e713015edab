"""What lately happened to a function: the Events of the Function, its Deployment and its pods.

The API server keeps Events for an hour as a rule. Those of the Deployment tell when replicas
changed, which the Function's status tells only of the last time. Of its pods only is told why a
container is not made, which nothing else tells.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.cli.cluster import Cluster
from torpor.errors import ApiError
from torpor.platform.kubernetes.resources import EVENTS
from torpor.resources.names import FunctionKey

MOST = 10
_KINDS = frozenset({"Function", "Deployment"})
_NOT_MADE = frozenset(
    {"Failed", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume", "FailedMount"}
)
"""Reasons of the kubelet and of controllers why a pod's container is not there."""
_POD_NAME = "{}-[a-z0-9]{{1,10}}-[a-z0-9]{{5}}"
"""As a Deployment's ReplicaSet makes it."""
_SCALED = re.compile(r"Scaled (?:up|down) replica set (\S+)(?: from (\d+))? to (\d+)")


@dataclass(frozen=True, slots=True)
class Happened:
    """One Event in words; `at` is an RFC 3339 time, `count` how often it was told."""

    at: str
    text: str
    count: int = 1


async def latest(api: Cluster, key: FunctionKey) -> tuple[Happened, ...]:
    """Return the last ten, the latest last; where we may not see any, a word on stderr."""
    path = EVENTS.path(key.namespace)
    try:
        named = await api.get(path, {"fieldSelector": f"regarding.name={key.name}"})
        pods = await api.get(path, {"fieldSelector": "regarding.kind=Pod,type=Warning"})
    except ApiError as error:
        print(f"torpor fn: what happened lately is not known: {error}", file=sys.stderr)
        return ()
    ours = [item for item in named["items"] if _is_ours(item.get("regarding") or {}, key)]
    ours += [item for item in pods["items"] if _is_unmade(item, key)]
    return in_words(ours)


def in_words(events: Iterable[Mapping[str, Any]]) -> tuple[Happened, ...]:
    """Return Events as words, the latest last, and no more than ten."""
    return tuple(sorted(map(_happened, events), key=lambda it: it.at)[-MOST:])


def _is_ours(regarding: Mapping[str, Any], key: FunctionKey) -> bool:
    return regarding.get("kind") in _KINDS and regarding.get("name") == key.name


def _is_unmade(event: Mapping[str, Any], key: FunctionKey) -> bool:
    regarding = event.get("regarding") or {}
    if regarding.get("kind") != "Pod" or event.get("reason") not in _NOT_MADE:
        return False
    name = str(regarding.get("name"))
    return re.fullmatch(_POD_NAME.format(re.escape(key.name)), name) is not None


def _happened(event: Mapping[str, Any]) -> Happened:
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("eventTime")
    at = at or event.get("deprecatedLastTimestamp") or event["metadata"].get("creationTimestamp")
    note = str(event.get("note") or "")
    scaled = _SCALED.match(note)
    count = int(series.get("count") or event.get("deprecatedCount") or 1)
    if scaled:
        return Happened(str(at), f"{scaled[2] or 0} -> {scaled[3]} replicas ({scaled[1]})", count)
    return Happened(str(at), f"{event.get('reason')}: {note}".strip(), count)
