"""Asks the API server for all that the doctor has to know, at once; a refusal is a fact as well."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

from torpor.cli import cluster
from torpor.cli.cluster import ANSWER_SECONDS, Cluster, Request, Unreachable
from torpor.cli.doctor.facts import CONTROLLER, MISSING, Facts, Right, Told
from torpor.cli.doctor.surroundings import rights
from torpor.cli.gatewayreach import service_path
from torpor.dev.manifests import crds
from torpor.errors import ApiError, TorporError
from torpor.platform.kubernetes.resources import (
    DEPLOYMENTS,
    FUNCTIONS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    TRIGGERS,
    WORKFLOWS,
    Resource,
)
from torpor.resources.conditions import READY, find
from torpor.resources.names import LABEL_RUN
from torpor.resources.tokens import SECRET_NAME

CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RESOLVE_SECONDS = 5.0
_METRICS_PORT = 9090
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_UNREADY_PODS = 10
"""So many are asked why; what keeps one from being ready keeps the others as well."""


async def facts_of(api: Cluster, args: argparse.Namespace) -> Facts:
    """Return the facts; Unreachable, or ApiUnauthorized, where nothing can be asked at all."""
    place, own = str(args.torpor_namespace), cluster.namespace_of(args)
    server, skew = await _server(api)
    part_of = {"labelSelector": "app.kubernetes.io/part-of=torpor"}
    asked: dict[str, Awaitable[Any]] = {
        "deployments": _ask(api, DEPLOYMENTS.path(place), part_of),
        "pods": _ask(api, PODS.path(place), part_of),
        "lease": _ask(api, LEASES.path(place, CONTROLLER)),
        "secret": _ask(api, SECRETS.path(place, SECRET_NAME)),
        "door": _door(api, place),
        "functions": _all(api, FUNCTIONS, own),
        "workflows": _all(api, WORKFLOWS, own),
        "triggers": _all(api, TRIGGERS, own),
        "jobs": _all(api, JOBS, own, {"labelSelector": LABEL_RUN}),
        "nodes": _ask(api, NODES.path()),
        "namespaces": _ask(api, NAMESPACES.path()),
        "kinds": _kinds(api),
        "denied": _denied(api, own, place),
    }
    found = await _all_of(asked)
    pods: Told = found["pods"]
    known = Facts(
        namespace=place,
        own=own,
        program=version("torpor"),
        now=datetime.now(UTC),
        server=server,
        skew_seconds=skew,
        wanted=crds(),
        unready=await _unready(api, place, pods),
        **found,
    )
    return replace(known, unresolved=await _unresolved(known.domain))


async def _all_of(asked: Mapping[str, Awaitable[Any]]) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(_awaited(work), name=f"doctor asks for {name}")
            for name, work in asked.items()
        }
    return {name: task.result() for name, task in tasks.items()}


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _ask(api: Cluster, path: str, params: Mapping[str, str] | None = None) -> Told:
    try:
        return Told(await api.get(path, params))
    except ApiError as error:
        return Told(None, error.status, str(error))
    except Unreachable as error:
        return Told(None, 0, str(error))


async def _all(
    api: Cluster, kind: Resource, own: str, params: Mapping[str, str] | None = None
) -> Told:
    """Return the objects of all namespaces, or of the person's where that is all they may see."""
    told = await _ask(api, kind.path(), params)
    if told.value is not None or told.missing:
        return told
    return await _ask(api, kind.path(own), params)


async def _server(api: Cluster) -> tuple[Told, float | None]:
    """Return the server's version, and by how much our clock is ahead of its Date."""
    request = Request("GET", "/version", {}, None, ANSWER_SECONDS)
    async with api.stream(request) as answer:
        body = await answer.read()
        now = datetime.now(UTC)
    date = answer.headers.get("Date")
    skew = (now - parsedate_to_datetime(date)).total_seconds() if date else None
    if answer.status >= 300:
        return Told(None, answer.status, body.decode(errors="replace")[:200]), skew
    return Told(json.loads(body)), skew


async def _door(api: Cluster, namespace: str) -> Told:
    """Return what a gateway says of a path that leads nowhere: 404, in its own words."""
    request = Request("GET", f"{service_path(namespace)}/", {}, None, ANSWER_SECONDS)
    try:
        async with api.stream(request) as answer:
            text = (await answer.read()).decode(errors="replace")
    except Unreachable as error:
        return Told(None, 0, str(error))
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    if isinstance(found, dict) and found.get("kind") == "Status":
        return Told(None, 0, str(found.get("message")))
    return Told(None, MISSING if answer.status == MISSING else 200, text[:200])


async def _kinds(api: Cluster) -> dict[str, Told]:
    wanted = crds()
    asked = {
        kind: _ask(api, f"{CRD_PATH}/{crd['metadata']['name']}") for kind, crd in wanted.items()
    }
    return await _all_of(asked)


async def _unready(api: Cluster, namespace: str, pods: Told) -> dict[str, str]:
    """Return what each pod that runs but is not ready says of itself."""
    names = [pod["metadata"]["name"] for pod in pods.items if _is_unready(pod)][:_UNREADY_PODS]
    told = await _all_of({name: _readyz(api, namespace, name) for name in names})
    return {name: text for name, text in told.items() if text}


def _is_unready(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    ready = find(status.get("conditions") or (), READY)
    return status.get("phase") == "Running" and (ready is None or ready["status"] != "True")


async def _readyz(api: Cluster, namespace: str, pod: str) -> str:
    path = f"{PODS.path(namespace, f'{pod}:{_METRICS_PORT}', 'proxy')}/readyz"
    try:
        async with api.stream(Request("GET", path, {}, None, ANSWER_SECONDS)) as answer:
            lines = (await answer.read()).decode(errors="replace").splitlines()
    except Unreachable:
        return ""  # it is not ready, which is told; only why stays unknown
    told = [line.partition(": ") for line in lines if ": " in line and not line.startswith("{")]
    return "; ".join(f"{name}: {what}" for name, _, what in told if what != "ok")


async def _denied(api: Cluster, own: str, place: str) -> list[Right]:
    wanted = rights(own, place)
    answers = await _all_of({right.words: _may(api, right) for right in wanted})
    return [right for right in wanted if not answers[right.words]]


async def _may(api: Cluster, right: Right) -> bool:
    """Return whether the person has the right; every API server answers that about oneself."""
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await api.call("POST", _REVIEWS, review)
    except TorporError:
        return True  # the verb itself will tell
    return bool(answer["status"]["allowed"])


async def _unresolved(domain: str) -> str | None:
    """Return why a name below the domain leads nowhere; None if it leads somewhere."""
    if not domain:
        return None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            await loop.getaddrinfo(f"doctor.default.{domain}", None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"no answer within {RESOLVE_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
