"""What lately happened to a function: the Events of the Function and of its Deployment.

The API server keeps Events for an hour as a rule. Those of the Deployment tell when replicas
changed, which the Function's status tells only of the last time.
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
_SCALED = re.compile(r"Scaled (?:up|down) replica set (\S+)(?: from (\d+))? to (\d+)")


@dataclass(frozen=True, slots=True)
class Happened:
    """One Event in words; `at` is an RFC 3339 time, `count` how often it was told."""

    at: str
    text: str
    count: int = 1


async def latest(api: Cluster, key: FunctionKey) -> tuple[Happened, ...]:
    """Return the last ten, the latest last; where we may not see any, a word on stderr."""
    query = {"fieldSelector": f"regarding.name={key.name}"}
    try:
        items = (await api.get(EVENTS.path(key.namespace), query))["items"]
    except ApiError as error:
        print(f"torpor fn: what happened lately is not known: {error}", file=sys.stderr)
        return ()
    return in_words(items, key)


def in_words(items: Iterable[Mapping[str, Any]], key: FunctionKey) -> tuple[Happened, ...]:
    """Return Events of a function as words, the latest last."""
    ours = [item for item in items if _is_ours(item.get("regarding") or {}, key)]
    return tuple(sorted(map(_happened, ours), key=lambda it: it.at)[-MOST:])


def _is_ours(regarding: Mapping[str, Any], key: FunctionKey) -> bool:
    return regarding.get("kind") in _KINDS and regarding.get("name") == key.name


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
