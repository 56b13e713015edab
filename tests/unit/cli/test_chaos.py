"""`torpor chaos` against a cluster: who agrees, what is deleted, and what is refused."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.cli.conftest import Torpor
from tests.unit.cli.fake_cluster import FakeCluster
from torpor.cli.chaos.queue import NoSuchQueue, fill
from torpor.cli.eventsreach import EventsRefused
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey

ECHO = {"metadata": {"namespace": "shop", "name": "echo"}, "spec": {}}
PODS = "/api/v1/namespaces/shop/pods"
ENGINES = "/api/v1/namespaces/torpor-system/pods"
WITHOUT_GRACE = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


def pod(name: str, created: str = "2027-01-01T00:00:00Z", ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    meta = {"name": name, "creationTimestamp": created}
    return {"metadata": meta, "status": {"conditions": conditions}}


def label(cluster: FakeCluster, namespace: str, value: str) -> None:
    meta = {"name": namespace, "labels": {"torpor.dev/chaos": value}}
    cluster.objects[f"/api/v1/namespaces/{namespace}"] = {"metadata": meta}


@pytest.fixture(autouse=True)
def _nothing_local(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORPOR_DASHBOARD", "TORPOR_EVENTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("value", ["", "forbidden"])
async def test_a_namespace_that_does_not_agree_is_left_alone(
    torpor: Torpor, cluster: FakeCluster, value: str
) -> None:
    cluster.functions, cluster.objects[PODS] = [ECHO], {"items": [pod("echo-1")]}
    label(cluster, "shop", value)
    done = await torpor("chaos", "kill-pod", "echo")
    assert (done.code, cluster.deleted) == (1, [])
    assert "kubectl label namespace shop torpor.dev/chaos=allowed, or --yes" in done.err


@pytest.mark.parametrize("words", [(), ("--yes",)])
async def test_the_oldest_pod_is_deleted_without_grace(
    torpor: Torpor, cluster: FakeCluster, words: tuple[str, ...]
) -> None:
    pods = [pod("echo-2", "2027-01-02T00:00:00Z"), pod("echo-1")]
    cluster.functions, cluster.objects[PODS] = [ECHO], {"items": pods}
    label(cluster, "shop", "" if words else "allowed")
    done = await torpor("chaos", "kill-pod", "echo", *words)
    assert done.code == 0, done.err
    assert cluster.deleted == [WITHOUT_GRACE]
    assert "pod echo-1, one of 2, deleted without grace" in done.out


async def test_a_function_at_zero_has_nothing_to_kill(torpor: Torpor, cluster: FakeCluster) -> None:
    cluster.functions, cluster.objects[PODS] = [ECHO], {"items": []}
    done = await torpor("chaos", "kill-pod", "echo", "--yes")
    assert (done.code, cluster.deleted) == (1, [])
    assert "is at zero" in done.err


async def test_a_job_has_runs_to_kill_and_no_pods(torpor: Torpor, cluster: FakeCluster) -> None:
    cluster.functions = [{**ECHO, "spec": {"workload": "Job"}}]
    cluster.objects[PODS] = {"items": [pod("echo-1")]}
    done = await torpor("chaos", "kill-pod", "echo", "--yes")
    assert (done.code, cluster.deleted) == (1, [])
    assert "torpor chaos kill-run shop/echo" in done.err


async def test_another_engine_is_awaited(torpor: Torpor, cluster: FakeCluster) -> None:
    def items() -> dict[str, Any]:
        if not cluster.deleted:
            return {"items": [pod("engine-1"), pod("engine-2")]}
        return {"items": [pod("engine-2"), pod("engine-3")]}

    cluster.objects[ENGINES] = items
    done = await torpor("chaos", "kill-engine", "--yes")
    assert done.code == 0, done.err
    assert cluster.deleted == [WITHOUT_GRACE]
    assert "engine engine-1, one of 2, deleted without grace" in done.out
    assert "2 engines are ready again" in done.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("slow", "echo", "--seconds", "1"), "slow is for torpor dev"),
        (("kill-engine", "--yes"), "no engine in torpor-system"),
        (("fill-queue", "q", "--messages", "1"), "the namespace shop does not agree"),
    ],
)
async def test_what_cannot_be_done_says_what_to_do(
    torpor: Torpor, cluster: FakeCluster, words: tuple[str, ...], says: str
) -> None:
    cluster.objects[ENGINES] = {"items": []}
    done = await torpor("chaos", *words)
    assert done.code == 1
    assert says in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("slow", "echo", "--seconds", "0.01"),
        ("slow", "echo", "--seconds", "11"),
        ("slow", "echo", "--seconds", "1", "--for", "0"),
        ("fill-queue", "q", "--messages", "100001"),
    ],
)
async def test_amounts_have_limits(torpor: Torpor, words: tuple[str, ...]) -> None:
    assert (await torpor("chaos", *words)).code == 2


@pytest.mark.parametrize(
    ("status", "kind", "raised", "told"),
    [
        (400, "com.amazonaws.sqs#QueueDoesNotExist", NoSuchQueue, "shop has orders"),
        (401, "com.amazon.coral.service#UnrecognizedClientException", EventsRefused, "TOKEN"),
        (503, "com.amazon.coral.service#ServiceUnavailable", EventsRefused, "its own word"),
    ],
    ids=["missing", "unknown client", "away"],
)
async def test_a_queue_is_missing_when_the_events_role_says_so(
    status: int, kind: str, raised: type[TorporError], told: str
) -> None:
    async def sqs(request: web.Request) -> web.Response:
        if request.headers["X-Amz-Target"] == "AmazonSQS.ListQueues":
            return web.json_response({"QueueUrls": ["http://sqs/000000000000/shop.orders"]})
        return web.json_response({"__type": kind, "message": "its own word"}, status=status)

    app = web.Application()
    app.router.add_post("/", sqs)
    async with TestServer(app) as server:
        words = argparse.Namespace(endpoint=str(server.make_url("")), messages=1, body="x")
        with pytest.raises(raised, match=told):
            await fill(words, FunctionKey("shop", "order"))
