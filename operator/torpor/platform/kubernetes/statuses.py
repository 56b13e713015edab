"""Tells of objects of one kind: in their status, and in an Event when their Ready turned."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torpor.errors import ApiNotFound
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import Resource
from torpor.resources.conditions import READY, Truth, find
from torpor.resources.names import MANAGER_STATUS

Json = dict[str, Any]
ACTION = "Reconcile"


class StatusApi(Protocol):
    """What it needs of the Kubernetes API; KubernetesApi has it."""

    async def apply_status(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply of the status."""
        ...


class Notices(Protocol):
    """Where people are told what happened to an object; Recorder is one. Never fails."""

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        """Report that `reason` happened to `obj`."""
        ...


@dataclass(frozen=True, slots=True)
class News:
    """When Ready is worth an Event: when its status is another, and when one of these is.

    `failing` are the fields that are compared of one that stays False. `wished` are reasons for
    False that somebody asked for, and nothing to warn of. `expected` are statuses that are no news
    of a new object.
    """

    failing: Collection[str] = ("reason", "message")
    wished: Collection[str] = ()
    expected: Collection[str] = ()

    def has_turned(self, was: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
        """Return whether people are to be told of `now`; `was` is None for a new object."""
        if was is None:
            return now["status"] not in self.expected
        if was.get("status") != now["status"]:
            return True
        is_failing = now["status"] == Truth.FALSE.value
        return is_failing and any(was.get(name) != now[name] for name in self.failing)


class Statuses:
    """Writes the statuses of objects of one `kind`."""

    def __init__(self, api: StatusApi, notices: Notices, kind: Resource, news: News) -> None:
        self._api = api
        self._notices = notices
        self._kind = kind
        self._news = news

    async def write(self, obj: Json, told: Json) -> Json | None:
        """Have the object's status be `told`; return the object, None if it was deleted meanwhile.

        Whether that is anything new is for the caller to see. ApiError: try again later.
        """
        meta = {name: obj["metadata"][name] for name in ("name", "namespace")}
        try:
            return await self._api.apply_status(
                self._kind, {**self._named(meta), "status": told}, manager=MANAGER_STATUS
            )
        except ApiNotFound:
            return None

    async def announce(self, obj: Json, told: Json) -> None:
        """Tell people if Ready turned between the object's status and what was told."""
        before = (obj.get("status") or {}).get("conditions", ())
        was, now = find(before, READY), find(told["conditions"], READY)
        assert now is not None, "every status has Ready"
        if not self._news.has_turned(was, now):
            return
        failing = now["status"] == Truth.FALSE.value
        wrong = failing and now["reason"] not in self._news.wished
        kind = EventType.WARNING if wrong else EventType.NORMAL
        await self.event(obj, kind, now["reason"] if failing else READY, now["message"])

    async def event(self, obj: Json, kind: EventType, reason: str, note: str) -> None:
        """Report that `reason` happened to the object."""
        regarding = self._named(obj["metadata"])
        await self._notices.record(regarding, kind, reason, note, action=ACTION)

    def _named(self, meta: Mapping[str, Any]) -> Json:
        return {"apiVersion": self._kind.api_version, "kind": self._kind.kind, "metadata": meta}
