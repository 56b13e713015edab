"""Functions at zero cost the API server nothing: no write in ten minutes, by the audit log.

Other tests may run beside it: what is written in their namespaces has a reason. Every other write
counts, in the namespace of the quiet Functions, in Torpor's own, and of what is in no namespace.
Torpor's own pods have to stay, though: a gateway that comes or goes is a reason to write.
TORPOR_QUIET_SECONDS shortens the window for a look; what counts is the whole.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster.api import condition, until
from tests.cluster.harness import NAMESPACE_PREFIX, SYSTEM, Lab, command
from tests.cluster.provision.kind_config import AUDIT_LOG
from torpor.platform.kubernetes.resources import DEPLOYMENTS, FUNCTIONS

COUNT = 50
WINDOW_SECONDS = float(os.environ.get("TORPOR_QUIET_SECONDS", "600"))
SETTLE_SECONDS = 20.0
WRITES = ("create", "update", "patch", "delete", "deletecollection")


@pytest.mark.timeout(WINDOW_SECONDS + 420)
async def test_fifty_functions_at_zero_cause_no_write(lab: Lab) -> None:
    node = await audited_node(lab)
    accounts = {role: await account(lab, role) for role in ("torpor-controller", "torpor-gateway")}
    for number in range(COUNT):
        await lab.api.apply(lab.function(f"fn-{number}"))
    await until(f"{COUNT} Functions Ready at zero", lambda: all_asleep(lab), within=120)
    await asyncio.sleep(SETTLE_SECONDS)
    start = size(node)
    await asyncio.sleep(WINDOW_SECONDS)
    text = await asyncio.to_thread(read, node, start)
    seen = Counter(events(text, quiet=lab.namespace))
    for role, user in accounts.items():
        leases = sum(n for (who, what), n in seen.items() if who == user and "leases" in what)
        others = {
            what: n for (who, what), n in seen.items() if who == user and "leases" not in what
        }
        beside = f"besides {leases} renewals of its Lease" if leases else "not even of a Lease"
        print(f"{role}: {sum(others.values())} writes in {WINDOW_SECONDS:.0f} s, {beside}, with")
        print(f"  {COUNT} Functions at zero; what was written: {others or 'nothing'}")
        assert not others
        if role == "torpor-controller":
            assert leases > 0, "not even the Lease is in the audit log: it proves nothing"


async def audited_node(lab: Lab) -> str:
    """Return the control plane's node, in which the audit log is; skips where there is none."""
    nodes = await lab.api.get("/api/v1/nodes?labelSelector=node-role.kubernetes.io/control-plane")
    name = str(nodes["items"][0]["metadata"]["name"])
    if command("docker", "exec", name, "test", "-s", AUDIT_LOG).returncode != 0:
        pytest.skip(f"no audit log at {AUDIT_LOG} in a container {name}: use `make cluster`")
    return name


async def account(lab: Lab, deployment: str) -> str:
    """Return the user that a role's pods are to the API server."""
    found = await lab.api.get(DEPLOYMENTS.path(SYSTEM, deployment))
    name = found["spec"]["template"]["spec"]["serviceAccountName"]
    return f"system:serviceaccount:{SYSTEM}:{name}"


async def all_asleep(lab: Lab) -> bool | None:
    """Return True once every Function is Ready and none is Active."""
    found = await lab.api.items(FUNCTIONS, lab.namespace)
    told = [
        (condition(o, "Ready").get("status"), condition(o, "Active").get("status")) for o in found
    ]
    return True if told == [("True", "False")] * COUNT else None


def size(node: str) -> int:
    """Return the length of the audit log in bytes."""
    return int(command("docker", "exec", node, "stat", "-c", "%s", AUDIT_LOG).stdout)


def read(node: str, start: int) -> str:
    """Return what was written to the audit log from byte `start` on."""
    words = ("docker", "exec", node, "tail", "-c", f"+{start + 1}", AUDIT_LOG)
    return command(*words, timeout=120).stdout


def events(text: str, *, quiet: str) -> Iterator[tuple[str, str]]:
    """Yield (user, verb and resource) of every write that the API server completed.

    Writes in the namespaces of tests other than `quiet` are left out.
    """
    for line in text.splitlines():
        event = json.loads(line)
        if event["stage"] == "ResponseComplete" and event["verb"] in WRITES:
            target = event.get("objectRef", {})
            namespace = target.get("namespace", "")
            if namespace.startswith(NAMESPACE_PREFIX) and namespace != quiet:
                continue
            what = f"{event['verb']} {target.get('resource')} {target.get('subresource', '')}"
            yield event["user"]["username"], what.strip()
