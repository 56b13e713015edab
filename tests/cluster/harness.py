"""The cluster that `make cluster` made, seen from a test: is it there, and a place to work in.

Nothing is installed or started here. A test works in a namespace of its own (`Lab`), makes
Functions there and asks for facts about them; requests are in `traffic`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, Json, condition, until
from tests.cluster.provision.settings import Settings
from torpor.platform.kubernetes.resources import DEPLOYMENTS, FUNCTIONS, PODS
from torpor.resources.names import API_VERSION, LABEL_FUNCTION

SYSTEM = os.environ.get("TORPOR_TEST_NAMESPACE", "torpor-system")
"""Where Torpor is installed."""
IMAGE = os.environ.get("TORPOR_TEST_IMAGE", "torpor-test/testfn:dev")
"""tests/images/testfn; an existing cluster has it under another name."""
NAMESPACE_PREFIX = "torpor-test-"
ROLES = ("torpor-controller", "torpor-gateway")
SETTINGS = Settings.read(os.environ, "torpor", 1)


def kubeconfig() -> Path:
    """Return the test cluster's kubeconfig.

    $KUBECONFIG counts only when it is one of the provisioned clusters, or when the person said
    that an existing cluster is to be used: the tests kill pods, and must not reach any other.
    """
    named = Path(os.environ.get("KUBECONFIG", "")).absolute()
    if named.is_relative_to(SETTINGS.cache):
        return named
    return SETTINGS.kubeconfig


def command(*words: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a program with the cluster's tools in front of the PATH; its failure is the caller's."""
    path = f"{SETTINGS.cache / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig())}
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def kubectl(*words: str, timeout: float = 60.0) -> str:
    """Return what kubectl printed; AssertionError if it failed."""
    done = command("kubectl", *words, timeout=timeout)
    assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def what_is_missing() -> str | None:
    """Return why the cluster cannot be used and what to run; None if it can."""
    if not kubeconfig().exists():
        return "no test cluster on this machine: run `make cluster`"
    if command("kubectl", "get", "--raw", "/readyz").returncode != 0:
        return f"the cluster of {kubeconfig()} does not answer: run `make cluster`"
    found = command("kubectl", "-n", SYSTEM, "get", "deployments", "-o", "json")
    items = json.loads(found.stdout or "{}").get("items", ())
    up = {item["metadata"]["name"] for item in items if item["status"].get("readyReplicas")}
    missing = [role for role in ROLES if role not in up]
    if missing:
        return f"{', '.join(missing)} not ready in {SYSTEM}: run `make cluster-install`"
    return None


@dataclass(frozen=True, slots=True)
class Seen:
    """A function's workload as the API server has it: replicas asked for, and its pods."""

    replicas: int
    pods: tuple[Json, ...]

    @property
    def running(self) -> tuple[Json, ...]:
        """The pods that are not on their way out."""
        return tuple(pod for pod in self.pods if "deletionTimestamp" not in pod["metadata"])

    @property
    def ready(self) -> int:
        """How many of those are Ready."""
        return sum(condition(pod, "Ready").get("status") == "True" for pod in self.running)


class Lab:
    """A namespace of one test and the Functions in it."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def function(self, name: str, **spec: Any) -> Json:
        """Return a Function object: of the test image, unless `runtime` is given."""
        source = {} if "runtime" in spec else {"image": IMAGE}
        return {
            "apiVersion": API_VERSION,
            "kind": "Function",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**source, **spec},
        }

    async def make(self, name: str, **spec: Any) -> str:
        """Apply a Function, wait until it is Ready, and return its Host."""
        await self.api.apply(self.function(name, **spec))
        return await self.host(name)

    async def host(self, name: str) -> str:
        """Return the Host of a Function once it is Ready."""

        async def ready() -> str | None:
            obj = await self.get(name)
            if condition(obj, "Ready").get("status") != "True":
                return None
            return str(obj["status"]["url"]).removeprefix("http://").partition(":")[0]

        return await until(f"{name} Ready", ready, within=60)

    async def get(self, name: str) -> Json:
        """Return the Function object."""
        return await self.api.get(FUNCTIONS.path(self.namespace, name))

    async def seen(self, name: str) -> Seen:
        """Return the replicas asked for and the pods; no Deployment counts as none asked for."""
        deployment = await self.api.find(DEPLOYMENTS.path(self.namespace, name))
        replicas = (deployment or {"spec": {}})["spec"].get("replicas", 0)
        pods = await self.api.items(PODS, self.namespace, f"{LABEL_FUNCTION}={name}")
        return Seen(int(replicas), tuple(pods))

    async def zero(self, name: str, within: float = 60) -> None:
        """Wait until no replica is asked for and no pod is left, not even one that ends."""

        async def gone() -> bool | None:
            seen = await self.seen(name)
            return True if seen.replicas == 0 and not seen.pods else None

        await until(f"{name} at zero without a pod", gone, within)

    async def replicas(self, name: str, least: int, within: float) -> Seen:
        """Wait until at least so many pods are Ready."""

        async def enough() -> Seen | None:
            seen = await self.seen(name)
            return seen if seen.ready >= least else None

        return await until(f"{name} with {least} ready pods", enough, within)

    async def config_map(self, name: str, files: Mapping[str, str]) -> None:
        """Apply a ConfigMap."""
        meta = {"name": name, "namespace": self.namespace}
        await self.api.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(files)}
        )

    async def client_pod(self, name: str = "client") -> str:
        """Start a pod that does nothing but from which `exec` can send requests."""
        container = {
            "name": "client",
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "NEVER_LISTEN", "value": "1"}],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }
        await self.api.apply(pod)

        async def ready() -> bool | None:
            found = await self.api.get(PODS.path(self.namespace, name))
            return True if condition(found, "Ready").get("status") == "True" else None

        await until("the client pod Ready", ready, within=60)
        return name

    async def kubectl(self, *words: str) -> str:
        """Run kubectl in this namespace beside the event loop and return what it printed."""
        return await asyncio.to_thread(kubectl, "-n", self.namespace, *words)


SCALING_QUICK: Mapping[str, Any] = {"idleSeconds": 1, "windowSeconds": 6, "burstWindowSeconds": 2}
"""For functions that are to follow their load within seconds."""
