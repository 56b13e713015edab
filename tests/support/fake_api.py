"""A Kubernetes API server small enough to read, over real HTTP, that misbehaves on demand.

Honest in what clients rely on: resourceVersions, optimistic concurrency, chunked lists as of one
moment, watches with bookmarks that replay from a version, server-side apply per manager, the
`status` and `scale` subresources, label selectors. Everything is asked for over the socket; tests
seed and break it through methods.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
import uuid
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from aiohttp import web

from tests.support import fake_apply

Obj = dict[str, Any]

KINDS = {
    "functions": "Function",
    "workflows": "Workflow",
    "triggers": "Trigger",
    "deployments": "Deployment",
    "pods": "Pod",
    "services": "Service",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "namespaces": "Namespace",
    "networkpolicies": "NetworkPolicy",
    "leases": "Lease",
    "events": "Event",
    "jobs": "Job",
    "nodes": "Node",
}
WITH_STATUS = frozenset(
    {"functions", "workflows", "triggers", "deployments", "pods", "services", "namespaces", "jobs"}
)
_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[a-z]))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|scale))?$"
)
_DISCOVERY = re.compile(r"^/(?:api/v1|apis/[^/]+/[^/]+)$")


class WatchFault(Enum):
    """What a watch that is opened meets."""

    GONE_STATUS = "410 as HTTP status"
    GONE_EVENT = "410 as ERROR event"
    ERROR_EVENT = "500 as ERROR event"
    CUT = "connection lost within a line"
    STALL = "nothing is sent any more"
    END = "ends at once"


_FAULT = web.ResponseKey[WatchFault | None]("fault")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in place of the real one."""

    status: int
    retry_after: int | None = None
    applied: bool = False
    """The request takes effect, only its answer is lost."""
    cause: str = ""
    """A reason among the causes in the answer's details."""
    message: str = "refused on demand"


@dataclass(frozen=True, slots=True)
class _Where:
    plural: str
    api_version: str
    namespace: str
    name: str
    sub: str


@dataclass(slots=True)
class _Change:
    version: int
    type: str
    plural: str
    before: Obj | None
    after: Obj


@dataclass
class FakeApi:
    """Start it, seed it with `put`, point a client at `url`."""

    bookmark_seconds: float = 0.1
    slow_seconds: float = 0.0
    collect_garbage: bool = False
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Requests by (method, plural); a watch counts as WATCH."""
    tokens: list[str] = field(default_factory=list)
    """The Authorization headers that came, in order."""
    accepted_token: str | None = None
    changes: int = 0
    """Writes that changed an object."""

    def __post_init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {}
        self._owned: dict[str, dict[str, fake_apply.Paths]] = {}
        self._log: list[_Change] = []
        self._version = 100
        self._oldest = 0
        self._snapshots: dict[str, tuple[int, list[Obj]]] = {}
        self._refusals: dict[str, deque[Refusal]] = {}
        self._watch_faults: deque[WatchFault] = deque()
        self._bell = asyncio.Event()
        self._watches: set[web.StreamResponse] = set()
        self._break: tuple[WatchFault, int] | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0

    # -- life ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        """Close the port and every connection; `start` opens the same port again."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    # -- seeding and looking --------------------------------------------------------------------

    def put(self, plural: str, obj: Obj) -> Obj:
        """Create or replace an object with its status, as some other client would."""
        key = _key(obj)
        before = self._objects.get(plural, {}).get(key)
        return self._store(plural, before, copy.deepcopy(obj))

    def find(self, plural: str, namespace: str, name: str) -> Obj | None:
        return self._objects.get(plural, {}).get((namespace, name))

    def all(self, plural: str) -> list[Obj]:
        return list(self._objects.get(plural, {}).values())

    def remove(self, plural: str, namespace: str, name: str) -> None:
        obj = self._objects[plural].pop((namespace, name))
        self._owned.pop(obj["metadata"]["uid"], None)
        self._note("DELETED", plural, obj, obj)
        if self.collect_garbage:
            self._collect(obj["metadata"]["uid"])

    def writes(self) -> int:
        """Requests that could change something, however they ended."""
        methods = ("POST", "PUT", "PATCH", "DELETE")
        return sum(count for (method, _), count in self.requests.items() if method in methods)

    def watching(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    # -- misbehaviour ---------------------------------------------------------------------------

    def refuse(self, method: str, refusal: Refusal, times: int = 1) -> None:
        """Answer the next `times` requests of `method` (LIST and WATCH too) with `refusal`."""
        self._refusals.setdefault(method, deque()).extend([refusal] * times)

    def fail_watches(self, *faults: WatchFault) -> None:
        """Let the next watches that are opened meet these."""
        self._watch_faults.extend(faults)

    def break_watches(self, fault: WatchFault) -> None:
        """Let every watch that is open now meet `fault`."""
        self._break = (fault, id(object()))
        for answer in self._watches:
            answer[_FAULT] = fault
        self._ring()

    def compact(self) -> None:
        """Forget the past: older watches and half-read lists are answered 410."""
        self._oldest = self._version
        self._log.clear()
        self._snapshots.clear()

    # -- serving --------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if _DISCOVERY.match(request.path):
            return web.json_response({"kind": "APIResourceList", "resources": _resources()})
        found = _PATH.match(request.path)
        if not found:
            return _status(404, "NotFound", f"no path {request.path}")
        where = _where(found)
        method = _method(request, where)
        self.requests[method, where.plural] += 1
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.accepted_token and self.tokens[-1] != f"Bearer {self.accepted_token}":
            return _status(401, "Unauthorized", "the token is not accepted")
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        refusals = self._refusals.get(method)
        refusal = refusals.popleft() if refusals else None
        if refusal and not refusal.applied:
            return _refused(refusal)
        answer = await self._dispatch(request, where, method)
        return _refused(refusal) if refusal else answer

    async def _dispatch(
        self, request: web.Request, where: _Where, method: str
    ) -> web.StreamResponse:
        if method == "WATCH":
            return await self._watch(request, where)
        if method == "LIST":
            return self._list(request, where)
        if method == "POST":
            return self._create(where, await request.json())
        obj = self.find(where.plural, where.namespace, where.name)
        if method == "PATCH":
            return self._patch(request, where, obj, await request.json())
        if obj is None:
            return _status(404, "NotFound", f"{where.plural} {where.name!r} not found")
        if method == "DELETE":
            self.remove(where.plural, where.namespace, where.name)
            return web.json_response({"kind": "Status", "status": "Success"})
        return web.json_response(_scale(obj) if where.sub == "scale" else self._shown(obj))

    def _list(self, request: web.Request, where: _Where) -> web.Response:
        limit = int(request.query.get("limit", 0))
        token = request.query.get("continue")
        start = 0
        if token:
            snapshot, start = json.loads(base64.b64decode(token))
            if snapshot not in self._snapshots:
                return _status(410, "Expired", "the continue token is too old")
        else:
            snapshot = uuid.uuid4().hex
            items = [obj for obj in self.all(where.plural) if _selected(request, where, obj)]
            self._snapshots[snapshot] = (self._version, items)
        version, items = self._snapshots[snapshot]
        end = start + limit if limit else len(items)
        meta: Obj = {"resourceVersion": str(version)}
        if end < len(items):
            meta["continue"] = base64.b64encode(json.dumps([snapshot, end]).encode()).decode()
        else:
            del self._snapshots[snapshot]
        shown = [_as_asked(request, self._shown(obj)) for obj in items[start:end]]
        return web.json_response({"kind": "List", "metadata": meta, "items": shown})

    async def _watch(self, request: web.Request, where: _Where) -> web.StreamResponse:
        fault = self._watch_faults.popleft() if self._watch_faults else None
        version = int(request.query["resourceVersion"])
        if fault is WatchFault.GONE_STATUS or (version < self._oldest and fault is None):
            return _status(410, "Expired", "too old resource version")
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        answer[_FAULT] = fault
        self._watches.add(answer)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 60))):
                await self._stream(request, where, answer, version)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._watches.discard(answer)
        return answer

    async def _stream(
        self, request: web.Request, where: _Where, answer: web.StreamResponse, version: int
    ) -> None:
        while answer[_FAULT] is None:
            bell = self._bell
            for change in [item for item in self._log if item.version > version]:
                event = self._event(request, where, change)
                if event:
                    await answer.write(json.dumps(event).encode() + b"\n")
            version = self._version
            try:
                async with asyncio.timeout(self.bookmark_seconds):
                    await bell.wait()
            except TimeoutError:
                await answer.write(_bookmark(where, version))
        await _misbehave(request, answer)

    def _event(self, request: web.Request, where: _Where, change: _Change) -> Obj | None:
        if change.plural != where.plural:
            return None
        now = change.type != "DELETED" and _selected(request, where, change.after)
        before = change.before is not None and _selected(request, where, change.before)
        if not now and not before:
            return None
        kind = ("MODIFIED" if before else "ADDED") if now else "DELETED"
        shown = self._shown(change.after)
        shown["metadata"]["resourceVersion"] = str(change.version)
        return {"type": kind, "object": _as_asked(request, shown)}

    # -- writing --------------------------------------------------------------------------------

    def _create(self, where: _Where, body: Obj) -> web.Response:
        body["metadata"].setdefault("namespace", where.namespace)
        if not body["metadata"]["namespace"]:
            del body["metadata"]["namespace"]
        if self.find(where.plural, where.namespace, body["metadata"]["name"]):
            return _status(409, "AlreadyExists", f"{body['metadata']['name']} already exists")
        made = self._store(where.plural, None, {"apiVersion": where.api_version, **body})
        return web.json_response(self._shown(made), status=201)

    def _patch(
        self, request: web.Request, where: _Where, obj: Obj | None, body: Obj
    ) -> web.Response:
        apply = "apply-patch" in request.headers["Content-Type"]
        if obj is None and (not apply or where.sub):
            return _status(404, "NotFound", f"{where.plural} {where.name!r} not found")
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if obj and wanted and wanted != obj["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        manager = request.query.get("fieldManager", "unknown")
        if apply and not manager:
            return _status(400, "BadRequest", "fieldManager is required")
        if where.sub == "scale":
            body = {"spec": body.get("spec") or {}}
        body = _part(where, body)
        new = self._applied(obj, body, manager) if apply else self._merged(obj, body, manager)
        stored = self._store(where.plural, obj, new) if new != obj else new
        return web.json_response(_scale(stored) if where.sub == "scale" else self._shown(stored))

    def _applied(self, obj: Obj | None, body: Obj, manager: str) -> Obj:
        base = copy.deepcopy(obj) if obj else {}
        base.setdefault("metadata", {}).setdefault("uid", str(uuid.uuid4()))
        owned = self._owned.setdefault(base["metadata"]["uid"], {})
        paths = fake_apply.paths_of(body)
        others: fake_apply.Paths = set()
        for name, theirs in owned.items():
            if name != manager:
                others |= theirs
        fake_apply.remove(base, owned.get(manager, set()) - paths - others)
        owned[manager] = paths
        merged: Obj = fake_apply.merge(base, body)
        return merged

    def _merged(self, obj: Obj | None, body: Obj, manager: str) -> Obj:
        assert obj is not None
        owned = self._owned.setdefault(obj["metadata"]["uid"], {})
        owned.setdefault(manager, set()).update(fake_apply.paths_of(body))
        merged: Obj = fake_apply.merge_patch(copy.deepcopy(obj), body)
        return merged

    def _store(self, plural: str, before: Obj | None, obj: Obj) -> Obj:
        meta = obj["metadata"]
        known = before["metadata"] if before else {}
        meta.setdefault("uid", known.get("uid") or str(uuid.uuid4()))
        meta["creationTimestamp"] = known.get("creationTimestamp", "2026-01-01T00:00:00Z")
        changed = before is not None and before.get("spec") != obj.get("spec")
        meta["generation"] = known.get("generation", 1) + int(changed)
        obj.setdefault("kind", KINDS[plural])
        kind = "MODIFIED" if before else "ADDED"
        self.changes += 1
        self._note(kind, plural, before, obj)
        meta["resourceVersion"] = str(self._version)
        self._objects.setdefault(plural, {})[_key(obj)] = obj
        return obj

    def _note(self, kind: str, plural: str, before: Obj | None, after: Obj) -> None:
        self._version += 1
        self._log.append(_Change(self._version, kind, plural, before, after))
        self._ring()

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def _collect(self, uid: str) -> None:
        for plural, objects in list(self._objects.items()):
            for obj in list(objects.values()):
                owners = obj["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == uid for owner in owners):
                    self.remove(plural, *_key(obj))

    def _shown(self, obj: Obj) -> Obj:
        managers = self._owned.get(obj["metadata"]["uid"], {})
        fields = [{"manager": name, "operation": "Apply"} for name in managers]
        return {**obj, "metadata": {**obj["metadata"], "managedFields": fields}}


def _resources() -> list[Obj]:
    """Every kind, as if all were of the group that is asked for."""
    return [
        {"name": f"{plural}{sub}", "kind": kind, "namespaced": plural != "namespaces"}
        for plural, kind in KINDS.items()
        for sub in ("", "/status")
    ]


async def _misbehave(request: web.Request, answer: web.StreamResponse) -> None:
    fault = answer[_FAULT]
    if fault in (WatchFault.GONE_EVENT, WatchFault.ERROR_EVENT):
        code = 410 if fault is WatchFault.GONE_EVENT else 500
        status = {"kind": "Status", "code": code, "reason": "Expired", "message": "injected"}
        await answer.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
    elif fault is WatchFault.CUT:
        await answer.write(b'{"type":"ADDED","object":{"metadata":{"name":"ha')
        assert request.transport is not None
        request.transport.abort()
    elif fault is WatchFault.STALL:
        await asyncio.sleep(60)


def _where(found: re.Match[str]) -> _Where:
    part = found.groupdict()
    api_version = part["core"] or f"{part['group']}/{part['version']}"
    namespace, name = part["namespace"] or "", part["name"] or ""
    return _Where(part["plural"], api_version, namespace, name, part["sub"] or "")


def _method(request: web.Request, where: _Where) -> str:
    if request.method != "GET" or where.name:
        return request.method
    return "WATCH" if request.query.get("watch") else "LIST"


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _part(where: _Where, body: Obj) -> Obj:
    """Return what of `body` the endpoint takes: the status only where it is the subject."""
    if where.sub == "status":
        return {"status": body.get("status")}
    taken = {name: value for name, value in body.items() if name != "status"}
    if where.plural not in WITH_STATUS:
        taken = dict(body)
    meta = dict(taken.get("metadata") or {})
    meta.pop("resourceVersion", None)
    return {**taken, "metadata": meta} if meta else _without(taken, "metadata")


def _without(body: Obj, name: str) -> Obj:
    return {key: value for key, value in body.items() if key != name}


def _scale(obj: Mapping[str, Any]) -> Obj:
    replicas = (obj.get("spec") or {}).get("replicas", 1)
    names = ("name", "namespace", "uid", "resourceVersion")
    meta = {name: obj["metadata"][name] for name in names if name in obj["metadata"]}
    # As the real one: a zero is left out.
    return {"kind": "Scale", "metadata": meta, "spec": {"replicas": replicas} if replicas else {}}


def _bookmark(where: _Where, version: int) -> bytes:
    obj = {"kind": KINDS[where.plural], "metadata": {"resourceVersion": str(version)}}
    return json.dumps({"type": "BOOKMARK", "object": obj}).encode() + b"\n"


def _as_asked(request: web.Request, obj: Obj) -> Obj:
    if "as=PartialObjectMetadata" not in request.headers.get("Accept", ""):
        return obj
    return {"kind": "PartialObjectMetadata", "metadata": obj["metadata"]}


def _selected(request: web.Request, where: _Where, obj: Mapping[str, Any]) -> bool:
    if where.namespace and obj["metadata"].get("namespace") != where.namespace:
        return False
    labels = obj["metadata"].get("labels") or {}
    if not all(_matches(term, labels) for term in _terms(request.query.get("labelSelector", ""))):
        return False
    fields = [term.split("=") for term in _terms(request.query.get("fieldSelector", ""))]
    return all(str(_field(obj, path)) == value for path, value in fields)


def _field(obj: Any, path: str) -> Any:
    for name in path.split("."):
        obj = obj.get(name) or {}
    return obj


def _terms(selector: str) -> list[str]:
    return [term.strip() for term in re.split(r",(?![^(]*\))", selector) if term.strip()]


def _matches(term: str, labels: Mapping[str, str]) -> bool:
    many = re.match(r"^(\S+)\s+(in|notin)\s+\((.*)\)$", term)
    if many:
        values = [value.strip() for value in many[3].split(",")]
        return (labels.get(many[1]) in values) == (many[2] == "in")
    if "!=" in term:
        name, value = term.split("!=")
        return labels.get(name) != value
    if "=" in term:
        name, value = term.replace("==", "=").split("=")
        return labels.get(name) == value
    return term[1:] not in labels if term.startswith("!") else term in labels


def _refused(refusal: Refusal) -> web.Response:
    details = {"causes": [{"reason": refusal.cause}]} if refusal.cause else {}
    answer = _status(refusal.status, "Injected", refusal.message, details)
    if refusal.retry_after is not None:
        answer.headers["Retry-After"] = str(refusal.retry_after)
    return answer


def _status(
    code: int, reason: str, message: str, details: Mapping[str, Any] = MappingProxyType({})
) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "details": dict(details)}
    return web.json_response({**body, "reason": reason, "message": message}, status=code)
