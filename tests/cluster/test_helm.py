"""The chart's life: install, test, upgrade, roll back, uninstall; what is left is left by design.

It is a second installation, for the test's own namespace alone, beside the one that the other tests
use: its controller leads by another Lease, and no right that it has reaches beyond.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.cluster.api import Refused, until
from tests.cluster.harness import Lab, command, kubectl
from torpor.platform.kubernetes.resources import CONFIG_MAPS, DEPLOYMENTS, FUNCTIONS

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
CHART = str(ROOT / "charts" / "torpor")
RELEASE = "torpor"
KINDS = ("functions", "workflows", "triggers")
KEPT = {"secret/torpor-internal"}
"""Tokens of Functions come from it, and those stay; it goes with the namespace."""
OF_EVERY_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def helm(*words: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run helm and return what it said; AssertionError if it failed."""
    done = command("helm", *words, timeout=timeout)
    assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr.strip()}"
    return done


@pytest_asyncio.fixture
async def values(lab: Lab, tmp_path: Path) -> AsyncIterator[str]:
    """A file of values for an installation in the test's namespace; it is removed in any case."""
    file = tmp_path / "values.yaml"
    small = {"replicas": 1, "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}
    given = {
        "image": {"tag": "dev"},
        "watchNamespace": lab.namespace,
        "aggregateRoles": False,
        "controller": small,
        "gateway": {**small, "slots": 10},
    }
    file.write_text(yaml.safe_dump(given))
    yield str(file)
    gone = ("uninstall", RELEASE, "-n", lab.namespace, "--ignore-not-found", "--wait")
    await asyncio.to_thread(command, "helm", *gone, timeout=120)


async def test_install_test_upgrade_rollback_uninstall(lab: Lab, values: str) -> None:
    here = ("-n", lab.namespace)
    wait = ("--wait", "--timeout", "180s")
    label = "pod-security.kubernetes.io/enforce=restricted"
    await asyncio.to_thread(kubectl, "label", "namespace", lab.namespace, label)

    await asyncio.to_thread(helm, "install", RELEASE, CHART, *here, "-f", values, *wait)
    told = await asyncio.to_thread(helm, "test", RELEASE, *here)
    assert "Phase:          Succeeded" in told.stdout, told.stdout
    before = await level(lab)

    changed = ("-f", values, "--set", "logLevel=DEBUG")
    await asyncio.to_thread(helm, "upgrade", RELEASE, CHART, *here, *changed, *wait)
    assert (before, await level(lab)) == ("INFO", "DEBUG"), "pods follow what they are told"
    await asyncio.to_thread(helm, "rollback", RELEASE, "1", *here, *wait)
    assert await level(lab) == "INFO"
    await asyncio.to_thread(helm, "test", RELEASE, *here)

    await asyncio.to_thread(helm, "uninstall", RELEASE, *here, "--wait")
    await until("nothing left but by design", lambda: nothing_else(lab), within=90, every=2)
    print(f"left in the namespace: {', '.join(sorted(await left(lab)))}")
    served = await asyncio.to_thread(kubectl, "api-resources", "--api-group=torpor.dev", "-o=name")
    assert set(served.split()) == {f"{kind}.torpor.dev" for kind in KINDS}
    await lab.api.apply(lab.function("stays", scaling={"paused": True}))
    assert (await lab.api.get(FUNCTIONS.path(lab.namespace, "stays")))["spec"]


async def test_helm_test_fails_where_a_role_does_not_answer(lab: Lab, values: str) -> None:
    here = ("-n", lab.namespace)
    await asyncio.to_thread(helm, "install", RELEASE, CHART, *here, "-f", values, "--wait")
    await lab.kubectl("scale", "deployment", "torpor-controller", "--replicas=0")
    role = "--selector=app.kubernetes.io/component=controller"
    await lab.kubectl("wait", "--for=delete", "pods", role, "--timeout=60s")
    tested = ("helm", "test", RELEASE, *here, "--logs")
    done = await asyncio.to_thread(command, *tested, timeout=180)
    print(done.stdout, done.stderr)
    assert done.returncode != 0
    assert "gateway: ok" in done.stdout.splitlines()
    assert "controller: ok" not in done.stdout.splitlines()


async def test_a_value_that_cannot_be_meant_reaches_no_cluster(lab: Lab, values: str) -> None:
    wrong = ("--set", "gateway.replicas=17")
    words = ("helm", "install", RELEASE, CHART, "-n", lab.namespace, "-f", values, *wrong)
    done = await asyncio.to_thread(command, *words)
    assert (done.returncode, "gateway.replicas" in done.stderr.replace("/", ".")) == (1, True)
    with pytest.raises(Refused, match="404"):
        await lab.api.get(DEPLOYMENTS.path(lab.namespace, "torpor-gateway"))
    assert await lab.api.items(CONFIG_MAPS, lab.namespace, "app.kubernetes.io/name=torpor") == []


async def level(lab: Lab) -> str:
    """Return the log level that the running controller was given."""
    pods = await lab.kubectl("get", "pods", "-l=app.kubernetes.io/component=controller", "-o=yaml")
    [pod] = [
        item
        for item in yaml.safe_load(pods)["items"]
        if "deletionTimestamp" not in item["metadata"]
    ]
    variables = pod["spec"]["containers"][0]["env"]
    return next(str(item["value"]) for item in variables if item["name"] == "TORPOR_LOG_LEVEL")


async def left(lab: Lab) -> set[str]:
    """Return what is in the namespace, but for what every namespace has."""
    kinds = "deployments,statefulsets,replicasets,pods,services,endpointslices,configmaps,secrets,"
    kinds += "serviceaccounts,leases,networkpolicies,poddisruptionbudgets,roles,rolebindings,jobs,"
    kinds += "persistentvolumeclaims,functions,workflows,triggers"
    found = (await lab.kubectl("get", kinds, "-o", "name")).split()
    return {name.replace(".apps", "") for name in found} - OF_EVERY_NAMESPACE


async def nothing_else(lab: Lab) -> bool | None:
    """Return True once only what is meant to stay is there."""
    return True if await left(lab) == KEPT else None
