"""A local copy of a selection of objects that is right again after every gap.

List, then watch. After a gap the list *replaces* the copy: what vanished meanwhile is told as a
deletion, so nobody waits for an event that was never sent. Each object is reduced by `keep` to
what the role needs, which decides the memory per object.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torpor import errors
from torpor.platform.kubernetes.client import (
    CHUNK,
    INACTIVITY_SECONDS,
    KubernetesApi,
    Selection,
    WatchEvent,
)
from torpor.platform.kubernetes.throttle import Backoff, Clock, Random
from torpor.telemetry.metrics import WATCH_RESTARTS

T = TypeVar("T")

RELIST_BACKOFF = Backoff(first_seconds=0.2, most_seconds=10.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """What identifies an object among those of its kind; the namespace may be empty."""

    namespace: str
    name: str


@dataclass(slots=True)
class _Entry(Generic[T]):
    version: str
    value: T


class Reflector(Generic[T]):
    """Keeps `get` and `items` true while `run` runs.

    `keep` reduces an object (without managedFields) to what is stored; None leaves it out, as if
    it did not exist. `on_change(key, old, new)` is called synchronously, after the store changed,
    with None for what is not there. An exception of either ends `run`.
    """

    def __init__(
        self,
        api: KubernetesApi,
        selection: Selection,
        keep: Callable[[dict[str, Any]], T | None],
        on_change: Callable[[ObjectKey, T | None, T | None], None],
        *,
        backoff: Backoff = RELIST_BACKOFF,
        inactivity_seconds: float = INACTIVITY_SECONDS,
        clock: Clock = time.monotonic,
        rand: Random = random.random,
    ) -> None:
        self._api = api
        self._selection = selection
        self._keep = keep
        self._on_change = on_change
        self._backoff = backoff
        self._inactivity_seconds = inactivity_seconds
        self._clock = clock
        self._random = rand
        self._store: dict[ObjectKey, _Entry[T]] = {}
        self._version = ""
        self._chunk = CHUNK
        self._failures = 0
        self._active_at = clock()
        self.synced = asyncio.Event()

    def __len__(self) -> int:
        return len(self._store)

    def get(self, namespace: str, name: str) -> T | None:
        """Return what is kept of the object, or None."""
        entry = self._store.get(ObjectKey(namespace, name))
        return entry.value if entry else None

    def items(self) -> Mapping[ObjectKey, T]:
        """Return a copy of everything that is kept."""
        return {key: entry.value for key, entry in self._store.items()}

    def idle_seconds(self) -> float:
        """Return how long ago the server was last heard; bookmarks count, so it stays small."""
        return self._clock() - self._active_at

    async def run(self) -> None:
        """List and watch until cancelled; no answer of the API ends it."""
        while True:
            try:
                await self._round()
            except errors.ApiGone as error:
                self._restart("gone", error)
                self._forget_version()
                await self._pause_unless_first(error)
            except errors.ApiUnavailable as error:
                self._restart("unavailable" if error.status else error.reason.lower(), error)
                await self._pause(error)
            except errors.ApiError as error:
                self._restart("error", error)
                self._version = ""
                await self._pause(error)

    async def _round(self) -> None:
        if not self._version:
            await self._list()
        began = self._clock()
        async with aclosing(self._watch()) as events:
            async for event in events:
                self._heard()
                self._take(event)
        WATCH_RESTARTS.labels(self._selection.resource.plural, "ended").inc()
        if self._clock() - began >= 1.0:
            self._failures = 0
            return
        # A server that ends watches at once is not asked again at once.
        self._failures += 1
        await asyncio.sleep(self._backoff.delay(self._failures, self._random))

    def _watch(self) -> AsyncGenerator[WatchEvent]:
        return self._api.watch(
            self._selection, self._version, inactivity_seconds=self._inactivity_seconds
        )

    async def _list(self) -> None:
        seen: set[ObjectKey] = set()
        version = ""
        async for page in self._api.pages(self._selection, self._chunk):
            version = page.resource_version
            for obj in page.items:
                seen.add(self._put(obj))
        for key in self._store.keys() - seen:
            self._drop(key)
        self._version = version
        self._chunk = CHUNK
        # Failures are not forgotten here: a watch that fails after each list must not become a
        # list in a tight loop.
        self._active_at = self._clock()
        self.synced.set()

    def _take(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._drop(_key(event.object))
        elif event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        self._version = event.object["metadata"]["resourceVersion"]

    def _put(self, obj: dict[str, Any]) -> ObjectKey:
        key = _key(obj)
        version = obj["metadata"]["resourceVersion"]
        entry = self._store.get(key)
        if entry and entry.version == version:
            return key
        obj["metadata"].pop("managedFields", None)
        value = self._keep(obj)
        if value is None:
            self._drop(key)
            return key
        self._store[key] = _Entry(version, value)
        self._on_change(key, entry.value if entry else None, value)
        return key

    def _drop(self, key: ObjectKey) -> None:
        entry = self._store.pop(key, None)
        if entry:
            self._on_change(key, entry.value, None)

    def _heard(self) -> None:
        self._active_at = self._clock()
        self._failures = 0

    def _forget_version(self) -> None:
        if not self._version:
            # The list itself outlived its snapshot between two pages: take it in one piece.
            self._chunk = 0
        self._version = ""

    def _restart(self, cause: str, error: errors.ApiError) -> None:
        WATCH_RESTARTS.labels(self._selection.resource.plural, cause).inc()
        fields = {"resource": self._selection.resource.plural, "cause": cause, "error": str(error)}
        log.log(
            logging.WARNING if self._failures else logging.INFO,
            "the watch begins again",
            extra={"fields": fields},
        )

    async def _pause_unless_first(self, error: errors.ApiError) -> None:
        if self._failures:
            await self._pause(error)
        self._failures = max(1, self._failures)

    async def _pause(self, error: errors.ApiError) -> None:
        self._failures += 1
        delay = self._backoff.delay(self._failures, self._random)
        if isinstance(error, errors.ApiUnavailable):
            delay = max(delay, error.retry_after_seconds)
        await asyncio.sleep(delay)


def _key(obj: dict[str, Any]) -> ObjectKey:
    meta = obj["metadata"]
    return ObjectKey(meta.get("namespace", ""), meta["name"])
