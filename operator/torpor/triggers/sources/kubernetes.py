"""Objects of the Kubernetes API in the Trigger's namespace: `spec.source.kubernetes`.

| attribute | is |
| --- | --- |
| type | `dev.torpor.kubernetes.added`, `.modified` or `.deleted` |
| source | the API's path, such as `/apis/apps/v1/namespaces/shop/deployments` |
| subject | the object's name |
| id | the object's uid and resourceVersion, so that a change told twice is one event |
| time | when it was told |
| data | the object, without `metadata.managedFields`; a deleted one as it was last |

What is there when a Trigger is new is no news. After a gap the objects are listed and compared with
what was seen: changes in between are one, and of an object that is gone by then only `apiVersion`,
`kind` and `metadata` with name, namespace and uid are told. An object that no longer has the labels
counts as deleted. Not the platform's Reflector, because that repeats what the API forbids for ever
instead of telling, and keeps all objects in memory.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from torpor.errors import ApiError, ApiGone, ApiNotFound, ApiUnavailable, InvalidResource
from torpor.platform.kubernetes import KubernetesApi, Selection
from torpor.resources.fields import Fields
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceAway, SourceMisconfigured, SourceWorld
from torpor.triggers.event import Event, make_event
from torpor.triggers.sources.known import Known
from torpor.triggers.sources.outstanding import Outstanding
from torpor.triggers.sources.settings import choices, settings_of

_PAUSE_SECONDS: Final = 0.2
_API_VERSION: Final = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+")
_DENIED: Final = frozenset({401, 403})
_SERVER_ERROR: Final = 500
Obj = dict[str, Any]


class Operation(StrEnum):
    """What became of an object."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """`spec.source.kubernetes`."""

    api_version: str
    kind: str
    labels: str
    operations: frozenset[Operation]

    @property
    def scope(self) -> str:
        """Which objects it is about."""
        return "\n".join((self.api_version, self.kind, self.labels))


class KubernetesSource:
    """Watches the objects of one kind."""

    exclusive = True

    def __init__(
        self, trigger: Trigger, world: SourceWorld, api: KubernetesApi, rule: ObjectRule
    ) -> None:
        self._trigger = trigger
        self._world = world
        self._api = api
        self._rule = rule

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield what becomes of the objects."""
        with _understood(self._rule):
            selection = await self._selection()
            known = Known(self._trigger, self._world.positions, self._rule.scope)
            await known.load()
            watching = _Watching(self._world, self._api, selection, self._rule, known)
            while True:
                async with aclosing(watching.list()) as listed:
                    async for received in listed:
                        yield received
                self._world.subscribed()
                with contextlib.suppress(ApiGone):
                    async with aclosing(watching.watch()) as watched:
                        async for received in watched:
                            yield received

    async def _selection(self) -> Selection:
        resource = await self._api.discover(self._rule.api_version, self._rule.kind)
        if not resource.namespaced:
            raise SourceMisconfigured(
                f"objects of kind {self._rule.kind} are in no namespace, and a Trigger sees its "
                "own only: choose another kind in spec.source.kubernetes"
            )
        return Selection(resource, self._trigger.key.namespace, self._rule.labels)


class _Watching:
    """Lists and watches, and remembers what was seen."""

    def __init__(
        self,
        world: SourceWorld,
        api: KubernetesApi,
        selection: Selection,
        rule: ObjectRule,
        known: Known,
    ) -> None:
        self._world = world
        self._api = api
        self._selection = selection
        self._rule = rule
        self._known = known
        self._outstanding = Outstanding(known.save)
        self._version = ""

    async def list(self) -> AsyncGenerator[Received]:
        """Yield what differs from what was seen, and remember it."""
        news, seen = self._known.begun, set()
        async with aclosing(self._api.pages(self._selection)) as pages:
            async for page in pages:
                self._version = page.resource_version
                if news:
                    self._world.subscribed()
                for obj in page.items:
                    seen.add(obj["metadata"]["name"])
                    if not news:
                        self._known.put(obj["metadata"]["name"], _mark(obj))
                        continue
                    for received in self._take(obj):
                        yield received
        for name in [name for name in self._known if name not in seen]:
            for received in self._take_deletion(self._last_seen(name)):
                yield received
        await self._save()

    async def watch(self) -> AsyncGenerator[Received]:
        """Yield what happens since. ApiGone: list again."""
        failed_at = ""
        while True:
            try:
                async with aclosing(self._api.watch(self._selection, self._version)) as events:
                    async for event in events:
                        for received in self._told(event.type, event.object):
                            yield received
                        self._version = event.object["metadata"]["resourceVersion"]
                        if event.type == "BOOKMARK":
                            await self._save()
                await self._world.sleep(_PAUSE_SECONDS)  # a server may end watches at once
            except ApiUnavailable:
                # A connection may break at any time; one that never holds is the source's failure.
                if failed_at == self._version:
                    raise
                failed_at = self._version

    def _told(self, kind: str, obj: Obj) -> Iterator[Received]:
        if kind == "DELETED":
            yield from self._take_deletion(obj)
        elif kind in ("ADDED", "MODIFIED"):
            yield from self._take(obj)

    def _take(self, obj: Obj) -> Iterator[Received]:
        name, mark = obj["metadata"]["name"], _mark(obj)
        before = self._known.mark(name)
        if before == mark:
            return
        if before is not None and _uid(before) != _uid(mark):
            yield from self._take_deletion(self._last_seen(name))
            before = None
        self._known.put(name, mark)
        operation = Operation.ADDED if before is None else Operation.MODIFIED
        yield from self._received(operation, mark, obj)

    def _take_deletion(self, obj: Obj) -> Iterator[Received]:
        name = obj["metadata"]["name"]
        before = self._known.mark(name)
        if before is None:
            return
        self._known.drop(name)
        yield from self._received(Operation.DELETED, f"{before}-deleted", obj)

    def _received(self, operation: Operation, id: str, obj: Obj) -> Iterator[Received]:
        if operation in self._rule.operations:
            yield self._outstanding.received(self._event(operation, id, obj))

    def _event(self, operation: Operation, id: str, obj: Obj) -> Event:
        obj["metadata"].pop("managedFields", None)
        now = datetime.fromtimestamp(self._world.wall(), UTC)
        return make_event(
            id=id,
            source=self._selection.resource.path(self._selection.namespace),
            type=f"dev.torpor.kubernetes.{operation}",
            subject=obj["metadata"]["name"],
            time=now.isoformat().replace("+00:00", "Z"),
            # The items of a list do not say what they are.
            data={"apiVersion": self._rule.api_version, "kind": self._rule.kind, **obj},
        )

    def _last_seen(self, name: str) -> Obj:
        uid = _uid(self._known.mark(name) or "")
        meta = {"name": name, "namespace": self._selection.namespace, "uid": uid}
        return {"metadata": meta}

    async def _save(self) -> None:
        await self._outstanding.settle()
        await self._known.save()


def open_source(trigger: Trigger, world: SourceWorld) -> KubernetesSource:
    """Return the source; SourceMisconfigured says what to write."""
    if world.api is None:
        raise SourceMisconfigured("the source kubernetes needs a cluster, and there is none here")
    with settings_of(trigger) as found:
        rule = ObjectRule(
            _api_version(found),
            found.required_text("kind"),
            found.text("labelSelector", ""),
            choices(found, "events", Operation, frozenset(Operation)),
        )
    return KubernetesSource(trigger, world, world.api, rule)


def _api_version(found: Fields) -> str:
    text = found.required_text("apiVersion")
    if _API_VERSION.fullmatch(text) is None:
        problem = f"{text!r} is no apiVersion: write one such as v1 or apps/v1"
        raise InvalidResource("spec.source.kubernetes.apiVersion", problem)
    return text


def _mark(obj: Obj) -> str:
    meta = obj["metadata"]
    return f"{meta['uid']}-{meta['resourceVersion']}"


def _uid(mark: str) -> str:
    return mark.rpartition("-")[0]


@contextlib.contextmanager
def _understood(rule: ObjectRule) -> Iterator[None]:
    what = f"objects of kind {rule.kind} ({rule.api_version})"
    try:
        yield
    except ApiNotFound as error:
        text = f"the cluster knows no {what}: correct spec.source.kubernetes, or install their kind"
        raise SourceMisconfigured(text) from error
    except (ApiGone, ApiUnavailable) as error:
        raise SourceAway(str(error)) from error
    except ApiError as error:
        if error.status in _DENIED:
            raise SourceMisconfigured(
                f"Torpor may not list and watch {what}: name them in the chart's value "
                "events.kubernetesResources"
            ) from error
        if error.status < _SERVER_ERROR:
            raise SourceMisconfigured(f"{error}: correct spec.source.kubernetes") from error
        raise SourceAway(str(error)) from error
