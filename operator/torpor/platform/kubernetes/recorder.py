"""Kubernetes Events for people: what happened to an object, aggregated and rate limited.

Like client-go's: a repeated event raises the count of the first instead of making a second, and
one object gets a burst of events and then a trickle.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from torpor.errors import ApiError, ApiNamespaceEnding, ApiNotFound
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import EVENTS
from torpor.platform.kubernetes.throttle import Clock, TokenBucket

AGGREGATE_SECONDS = 600.0
BURST = 25
RATE_PER_SECOND = 1 / 300
REMEMBERED = 4096
"""Objects and events kept in mind; the oldest are forgotten first."""
NOTE_CHARACTERS = 1000

log = logging.getLogger(__name__)


class EventType(Enum):
    """The two types that Kubernetes knows."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(slots=True)
class _Told:
    namespace: str
    name: str
    count: int
    at: float


class Recorder:
    """Writes Events. `component` and `instance` say who reports."""

    def __init__(
        self,
        api: KubernetesApi,
        component: str,
        instance: str,
        *,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex[:16],
    ) -> None:
        self._api = api
        self._component = component
        self._instance = instance
        self._clock = clock
        self._now = now
        self._make_id = make_id
        self._told: OrderedDict[tuple[str, str, str, str], _Told] = OrderedDict()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        """Report that `reason` (CamelCase) happened to `obj` while `action` was done.

        Call it on transitions only. An Event that cannot be written is logged: nothing depends
        on it.
        """
        note = note[:NOTE_CHARACTERS]
        uid = obj["metadata"]["uid"]
        if not self._bucket(uid).try_take():
            return
        key = (uid, kind.value, reason, note)
        try:
            await self._write(key, _reference(obj), action)
        except ApiNamespaceEnding:
            log.debug("an Event went with its namespace", extra={"fields": {"reason": reason}})
        except ApiError as error:
            fields = {"reason": reason, "note": note, "error": str(error)}
            log.warning("an Event was not recorded", extra={"fields": fields})

    async def _write(
        self, key: tuple[str, str, str, str], regarding: dict[str, str], action: str
    ) -> None:
        told = self._told.get(key)
        if told and self._clock() - told.at < AGGREGATE_SECONDS and await self._again(told):
            return
        body = self._event(key, regarding, action)
        namespace = body["metadata"]["namespace"]
        made = await self._api.create(EVENTS, namespace, body)
        self._told[key] = _Told(namespace, made["metadata"]["name"], 1, self._clock())
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _again(self, told: _Told) -> bool:
        series = {"count": told.count + 1, "lastObservedTime": self._stamp()}
        try:
            await self._api.patch(
                EVENTS, told.namespace, told.name, {"series": series}, manager=self._component
            )
        except ApiNotFound:
            return False
        told.count += 1
        told.at = self._clock()
        return True

    def _event(
        self, key: tuple[str, str, str, str], regarding: dict[str, str], action: str
    ) -> dict[str, Any]:
        _, kind, reason, note = key
        namespace = regarding.get("namespace") or "default"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": f"{regarding['name']}.{self._make_id()}", "namespace": namespace},
            "eventTime": self._stamp(),
            "reportingController": f"torpor.dev/{self._component}",
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "note": note,
            "type": kind,
            "regarding": regarding,
        }

    def _bucket(self, uid: str) -> TokenBucket:
        if uid not in self._buckets:
            self._buckets[uid] = TokenBucket(RATE_PER_SECOND, BURST, self._clock)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        return self._buckets[uid]

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _reference(obj: Mapping[str, Any]) -> dict[str, str]:
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
    }
