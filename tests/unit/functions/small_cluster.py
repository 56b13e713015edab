"""A cluster of dicts for tests of reconciling: what is watched, what is written, what fails.

The watch is told only when a test says so, so that tests meet its lateness.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.functions.builders import KEY, SETTINGS
from torpor.errors import ApiConflict, ApiError, ApiNotFound
from torpor.functions.children import Installation
from torpor.functions.reconcile import FunctionReconciler
from torpor.functions.status import Seen
from torpor.platform.base import Instance
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import Resource
from torpor.resources.names import FunctionKey

Json = dict[str, Any]


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
    return copy.deepcopy(new)


@dataclass
class SmallCluster:
    """`objects` is the truth by (kind, name), `shown` what the watch has told so far."""

    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    shown: dict[tuple[str, str], Json] = field(default_factory=dict)
    pods: list[Instance] = field(default_factory=list)
    config_maps: dict[str, str] = field(default_factory=dict)
    code: str = ""
    """What is in every ConfigMap; its version if empty."""
    reads: list[str] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    failures: deque[ApiError | None] = field(default_factory=deque)
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0
    version: int = 10
    events_url: str = ""

    def reconciler(self) -> FunctionReconciler:
        return FunctionReconciler(
            self,
            self,
            self,
            Installation(replace(SETTINGS, events_url=self.events_url), b"k" * 32),
            seen=lambda _: self.seen,
            clock=lambda: self.seconds,
            wall=lambda: datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self.seconds),
        )

    def put(self, obj: Json) -> None:
        """Make the object, as somebody else would, and show it."""
        self._store(obj["kind"], copy.deepcopy(obj))
        self.show()

    def show(self) -> None:
        """Let the watch catch up."""
        self.shown = copy.deepcopy(self.objects)

    def remove(self, kind: str) -> None:
        del self.objects[kind, KEY.name]
        self.show()

    def status(self) -> Json:
        found: Json = self.objects["Function", KEY.name]["status"]
        return found

    def ready(self) -> tuple[str, str]:
        item = self.status()["conditions"][0]
        return item["status"], item["reason"]

    # What is watched

    def function(self, key: FunctionKey) -> Json | None:
        return self.shown.get(("Function", key.name))

    def child(self, resource: Resource, key: FunctionKey) -> Json | None:
        found = self.shown.get((resource.kind, key.name))
        labels = found["metadata"].get("labels", {}) if found else {}
        return found if labels.get("app.kubernetes.io/managed-by") == "torpor" else None

    def instances(self, key: FunctionKey) -> Sequence[Instance]:
        return tuple(self.pods)

    def code_version(self, namespace: str, config_map: str) -> str | None:
        return self.config_maps.get(config_map)

    # What is written

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        if resource.kind == "ConfigMap" and name in self.config_maps:
            self.reads.append(name)
            return {"data": {"main.py": self.code or self.config_maps[name]}}
        if (resource.kind, name) not in self.objects:
            raise ApiNotFound(404, "NotFound", name)
        return copy.deepcopy(self.objects[resource.kind, name])

    async def apply(self, resource: Resource, body: Json, *, manager: str) -> Json:
        return self._apply(resource, body, manager.removeprefix("torpor-"))

    async def apply_yielding(self, resource: Resource, body: Json, *, manager: str) -> Json:
        live = self.objects.get((resource.kind, body["metadata"]["name"]))
        differs = live is not None and any(
            live["spec"].get(name) != value for name, value in body.get("spec", {}).items()
        )
        if differs:
            self.writes.append((resource.kind, "refused"))
            raise ApiConflict(409, "Conflict", "owned by somebody else")
        return self._apply(resource, body, manager.removeprefix("torpor-"))

    async def apply_status(self, resource: Resource, body: Json, *, manager: str) -> Json:
        assert set(body) == {"apiVersion", "kind", "metadata", "status"}
        return self._apply(resource, body, "status")

    def _apply(self, resource: Resource, body: Json, how: str) -> Json:
        self.writes.append((resource.kind, how))
        if self.failures and (failure := self.failures.popleft()):
            raise failure
        old = self.objects.get((resource.kind, body["metadata"]["name"]), {})
        new = _merged(old, body)
        if "status" in body:
            new["status"] = copy.deepcopy(body["status"])
        return copy.deepcopy(self._store(resource.kind, new))

    def _store(self, kind: str, obj: Json) -> Json:
        self.version += 1
        obj["metadata"].setdefault("uid", f"uid-{self.version}")
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind, obj["metadata"]["name"]] = obj
        return obj

    # What people are told

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        assert obj["metadata"]["uid"]
        self.events.append((kind.value, reason))
