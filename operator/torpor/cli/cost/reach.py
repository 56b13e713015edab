"""The metrics of all roles: of the pods of a cluster, or of `torpor dev`, which is all roles."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import ANSWER_SECONDS, Cluster, Request, Unreachable
from torpor.cli.gatewayreach import url_of
from torpor.errors import TorporError
from torpor.platform.kubernetes.resources import PODS
from torpor.resources.names import LABEL_COMPONENT
from torpor.telemetry.bodies import bounded
from torpor.telemetry.cost import ROLES

METRICS_PORT = 9090
_PATH = "/metrics"
_MOST_BYTES = 64 << 20


class NoMetrics(TorporError):
    """No role told its metrics."""

    code = "no-metrics"


async def metrics(args: argparse.Namespace) -> Sequence[str]:
    """Return what each role tells; those that do not are named on stderr.

    NoMetrics or Unreachable if none does.
    """
    if args.dashboard:
        return [await _of_dev(url_of(str(args.dashboard)))]
    async with cluster.connect(args) as api:
        return await _of_cluster(api, str(args.torpor_namespace))


async def _of_dev(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        request = Request("GET", url + _PATH, {}, None, ANSWER_SECONDS)
        whom = f"torpor dev at {url}; is it there, and is TORPOR_DASHBOARD what it printed?"
        return await _text(cluster.exchange(session, request, whom), url)


async def _of_cluster(api: Cluster, namespace: str) -> Sequence[str]:
    part_of = {"labelSelector": "app.kubernetes.io/part-of=torpor"}
    pods = (await api.get(PODS.path(namespace), part_of))["items"]
    names = [str(pod["metadata"]["name"]) for pod in pods if _counts(pod)]
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(_of_pod(api, namespace, name), name=f"metrics of {name}")
            for name in names
        }
    told = {name: task.result() for name, task in tasks.items()}
    for name, found in told.items():
        if isinstance(found, TorporError):
            print(f"torpor cost: without {name}: {found}", file=sys.stderr)
    texts = [found for found in told.values() if isinstance(found, str)]
    if texts:
        return texts
    raise NoMetrics(
        f"no role of Torpor in {namespace} tells its metrics: --torpor-namespace says where it "
        f"runs, and `kubectl auth can-i get pods/proxy -n {namespace}` whether you may ask"
    )


def _counts(pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    running = (pod.get("status") or {}).get("phase") == "Running"
    return running and labels.get(LABEL_COMPONENT) in ROLES


async def _of_pod(api: Cluster, namespace: str, pod: str) -> str | TorporError:
    path = PODS.path(namespace, f"{pod}:{METRICS_PORT}", "proxy") + _PATH
    try:
        return await _text(api.stream(Request("GET", path, {}, None, ANSWER_SECONDS)), pod)
    except (NoMetrics, Unreachable) as error:
        return error


async def _text(asked: AbstractAsyncContextManager[aiohttp.ClientResponse], whom: str) -> str:
    async with asked as answer:
        body = await bounded(answer.content, _MOST_BYTES)
        if body is None:
            raise NoMetrics(f"the metrics of {whom} are longer than {_MOST_BYTES >> 20} MiB")
        if answer.status != 200:
            raise NoMetrics(f"{whom} answers {answer.status} to {_PATH}")
        return body.decode(errors="replace")
