"""Least rights: whatever a role may do is done, and nothing else is asked for.

What was asked is in the API server's audit log, of all tests since the cluster was made; what is
rare is done here. It takes the Lease away, and with it the leader: nothing may run beside it that
counts writes.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from tests.cluster.api import Json, condition, until
from tests.cluster.audited import Ask, Grant, asks, grants, read
from tests.cluster.dashboard import Dashboard
from tests.cluster.harness import IMAGE, SCALING_QUICK, SYSTEM, Lab, command
from tests.cluster.runs import Runs
from tests.cluster.test_quiet import audited_node
from tests.cluster.traffic import busy
from torpor.platform.kubernetes.resources import CONFIG_MAPS, LEASES
from torpor.resources.names import API_VERSION

NEVER_ASKED = ("torpor.dev", "functions/finalizers", "update")
"""It is asked for by an admission plugin, not by a request: only the plugin can refuse without."""
DONE = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}


@pytest.mark.timeout(900)
async def test_what_is_granted_is_used_and_nothing_else_is_asked_for(lab: Lab) -> None:
    node = await audited_node(lab)
    await follow_load(lab)
    await meet_objects_of_others(lab)
    await tell_the_same_twice(lab)
    await read_what_objects_name(lab)
    await start_runs(lab)
    await look_at_all(lab)
    await lab.api.delete(LEASES.path(SYSTEM, "torpor-controller"))
    given = [grant for grant in await grants(lab.api) if not is_exception(grant)]
    assert given, "no role is bound to Torpor's accounts: it proves nothing"

    async def all_used() -> list[Ask] | None:
        seen = await asyncio.to_thread(asks, node)
        return seen if not unused(given, seen) else None

    try:
        await until("every verb used", all_used, within=180, every=10)
    except AssertionError:
        print("never used:", *unused(given, await asyncio.to_thread(asks, node)), sep="\n  ")
        raise
    seen = await asyncio.to_thread(asks, node)
    denied = [str(ask) for ask in seen if ask.denied]
    print(f"{len(given)} verbs are granted and all were used; {len(denied)} requests were refused")
    assert denied == []


@pytest.mark.parametrize("account", ["torpor-gateway", "torpor-controller"])
async def test_torpor_cannot_scale_what_is_no_function(lab: Lab, account: str) -> None:
    await lab.kubectl("create", "deployment", "other", f"--image={IMAGE}", "--replicas=0")
    await lab.make("mine", scaling={"paused": True})
    patch = ("--subresource=scale", "--type=merge", "-p", json.dumps({"spec": {"replicas": 1}}))
    user = f"--as=system:serviceaccount:{SYSTEM}:{account}"
    words = ("kubectl", "-n", lab.namespace, "patch", "deployment")
    refused = await asyncio.to_thread(command, *words, "other", *patch, user)
    assert (refused.returncode, "Functions and no others" in refused.stderr) == (1, True)
    taken = await asyncio.to_thread(command, *words, "mine", *patch, user)
    assert taken.returncode == 0, taken.stderr


def unused(given: list[Grant], seen: list[Ask]) -> list[str]:
    return [str(grant) for grant in given if not any(grant.covers(ask) for ask in seen)]


def is_exception(grant: Grant) -> bool:
    return (grant.group, grant.resource, grant.verb) == NEVER_ASKED


async def follow_load(lab: Lab) -> None:
    """A function wakes, has several pods, loses the idle ones first, and sleeps."""
    scaling = {**SCALING_QUICK, "maxReplicas": 3, "concurrency": {"target": 2, "limit": 10}}
    host = await lab.make("load", scaling=scaling)
    async with busy(host, clients=6, path="/sleep?ms=200"):
        await lab.replicas("load", least=3, within=60)

    async def one_again() -> bool | None:
        return True if (await lab.seen("load")).replicas == 1 else None

    async with busy(host, clients=1, path="/sleep?ms=200"):
        await until("one replica for one client", one_again, within=90)
    await lab.zero("load")


async def meet_objects_of_others(lab: Lab) -> None:
    """Three Functions whose Deployment, Service and NetworkPolicy somebody else made before."""
    labels = {"app": "theirs"}
    container = {"name": "x", "image": "theirs:1"}
    theirs: dict[str, tuple[str, str, Json]] = {
        "deployments": (
            "/apis/apps/v1",
            "Deployment",
            {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        ),
        "services": ("/api/v1", "Service", {"selector": labels, "ports": [{"port": 80}]}),
        "networkpolicies": (
            "/apis/networking.k8s.io/v1",
            "NetworkPolicy",
            {"podSelector": {"matchLabels": labels}, "policyTypes": ["Egress"]},
        ),
    }
    for plural, (root, kind, spec) in theirs.items():
        obj = {
            "apiVersion": root.removeprefix("/apis/").removeprefix("/api/"),
            "kind": kind,
            "metadata": {"name": f"taken-{plural}"},
            "spec": spec,
        }
        await lab.api.text("POST", f"{root}/namespaces/{lab.namespace}/{plural}", obj)
        await lab.api.apply(lab.function(f"taken-{plural}"))
        await until(f"{kind} in the way", partial(told, lab, f"taken-{plural}"), within=60)


async def tell_the_same_twice(lab: Lab) -> None:
    """A Function whose code goes away, comes back and goes away: one Event, counted twice."""
    code = {"configMap": "code"}
    source = {"main.py": "def handler(event, context):\n    return 'x'\n"}
    for _ in range(2):
        await lab.config_map("code", source)
        await lab.make("again", runtime="python3", handler="main.handler", code=code)
        await lab.api.delete(CONFIG_MAPS.path(lab.namespace, "code"))
        await until("no code", partial(told, lab, "again"), within=60)


async def look_at_all(lab: Lab) -> None:
    """Somebody has the dashboard open, where there is one: it asks for nothing before."""
    dashboard = Dashboard(lab)
    if await dashboard.enabled():
        await dashboard.get("/api/snapshot")


async def told(lab: Lab, name: str) -> bool | None:
    """Return True once a Function says that something is in its way."""
    ready = condition(await lab.get(name), "Ready")
    return True if ready.get("status") == "False" else None


async def read_what_objects_name(lab: Lab) -> None:
    """A Workflow from a ConfigMap, a Trigger that watches objects, and one with a Secret."""
    await lab.config_map("asl", {"done.json": json.dumps(DONE)})
    reference = {"configMapKeyRef": {"name": "asl", "key": "done.json"}}
    await lab.api.apply(named(lab, "Workflow", "from-map", {"definitionFrom": reference}))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login", "namespace": lab.namespace},
        "stringData": {"username": "u", "password": "p"},
    }
    await lab.api.apply(secret)
    target = {"function": {"name": "load"}}
    watched = {"apiVersion": "v1", "kind": "ConfigMap"}
    away = {"url": "mqtt://127.0.0.1:1", "topics": ["a"], "secret": "login"}
    for name, source in (("watches", {"kubernetes": watched}), ("logs-in", {"mqtt": away})):
        await lab.api.apply(named(lab, "Trigger", name, {"source": source, "target": target}))


async def start_runs(lab: Lab) -> None:
    """One that no queue ever lets begin, one that may do without a GPU, and one nobody started."""
    async with Runs.of(lab) as runs:
        await runs.function("queued", job={"queue": "of-nobody", "ttlSeconds": 60})
        await runs.function("either", job={"gpu": {"products": ["none"], "fallback": "cpu"}})
        await runs.cancel(await runs.start("queued", {}))
        await runs.ended(await runs.start("either", {}))
        assert not await runs.is_known("of-nobody")


def named(lab: Lab, kind: str, name: str, spec: Json) -> Json:
    meta = {"name": name, "namespace": lab.namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


# Of the comparison itself, without a cluster


def event(verb: str, code: int, message: str = "", decision: str = "allow") -> dict[str, Any]:
    return {
        "verb": verb,
        "user": {"username": f"system:serviceaccount:{SYSTEM}:torpor-gateway"},
        "objectRef": {"resource": "deployments", "apiGroup": "apps", "namespace": "a", "name": "b"},
        "annotations": {"authorization.k8s.io/decision": decision},
        "responseStatus": {"code": code, "message": message},
    }


def test_a_patch_that_makes_its_object_is_a_create_too() -> None:
    assert [ask.verb for ask in read(event("patch", 201))] == ["patch", "create"]
    assert [ask.verb for ask in read(event("patch", 200))] == ["patch"]


def test_a_refusal_is_told_from_one_of_admission() -> None:
    ending = "is forbidden: unable to create new content because it is being terminated"
    assert not next(read(event("patch", 403, ending))).denied
    assert next(read(event("patch", 403, "User cannot create resource"))).denied
    assert next(read(event("get", 403, decision="forbid"))).denied


def test_a_grant_counts_only_where_it_holds() -> None:
    [ask] = read(event("get", 200))
    grant = Grant("r", "torpor-gateway", "apps", "deployments", "get")
    assert grant.covers(ask)
    for other in (
        Grant("r", "torpor-gateway", "apps", "deployments", "get", namespace="c"),
        Grant("r", "torpor-gateway", "apps", "deployments", "get", name="c"),
        Grant("r", "torpor-gateway", "apps", "deployments", "list"),
        Grant("r", "torpor-engine", "apps", "deployments", "get"),
    ):
        assert unused([other], [ask]) == [str(other)]
