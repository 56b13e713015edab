"""Skips the folder with one reason where no cluster answers; gives each test a namespace.

What a failed test leaves behind is printed before its namespace goes.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.cluster.api import Api
from tests.cluster.harness import (
    NAMESPACE_PREFIX,
    SYSTEM,
    Lab,
    command,
    kubeconfig,
    what_is_missing,
)
from torpor.platform.kubernetes.resources import NAMESPACES

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def cluster() -> None:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest_asyncio.fixture
async def lab(cluster: None, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    name = NAMESPACE_PREFIX + secrets.token_hex(3)
    async with Api(str(kubeconfig())) as api:
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield Lab(api, name)
        if request.node.stash.get(FAILED, False):
            print_state(name)
        await api.delete(NAMESPACES.path("", name))


def print_state(namespace: str) -> None:
    """Print what there is in the test's namespace, and what Torpor's roles last said."""
    for words in (
        ("-n", namespace, "get", "functions,workflows,triggers,deployments,pods", "-o", "wide"),
        ("-n", namespace, "get", "events", "--sort-by=.lastTimestamp"),
        ("-n", SYSTEM, "get", "pods", "-o", "wide"),
        ("-n", SYSTEM, "logs", "deployment/torpor-controller", "--all-pods", "--tail=15"),
        ("-n", SYSTEM, "logs", "deployment/torpor-gateway", "--all-pods", "--tail=15"),
        ("-n", SYSTEM, "logs", "deployment/torpor-engine", "--all-pods", "--tail=15"),
        ("-n", SYSTEM, "logs", "deployment/torpor-events", "--all-pods", "--tail=15"),
        ("-n", SYSTEM, "logs", "deployment/torpor-dashboard", "--all-pods", "--tail=15"),
    ):
        done = command("kubectl", *words)
        print(f"--- kubectl {' '.join(words)}\n{(done.stdout + done.stderr)[-4000:]}")
