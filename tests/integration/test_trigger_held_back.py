"""What a Trigger has taken outlives a conflict and an edit: controller, events role and broker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.controller_rig import DiscoverableApi, function, running, serving
from tests.support.events_role import Role, called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.triggers.standings import TriggerRefused

pytestmark = needs_nats
PATIENCE = 30.0
ASYNC = {"http": {"path": "/a", "async": True}}


def trigger(name: str, source: dict[str, Any], minute: int, generation: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "generation": generation,
            "creationTimestamp": f"2026-01-01T00:0{minute}:00Z",
        },
        "spec": {"source": source, "target": {"function": {"name": "f"}}},
    }


async def told(fake: DiscoverableApi, generation: int, reason: str) -> None:
    """Wait until the status of the Trigger orders says so of this generation."""

    async def said() -> bool:
        status = (fake.find("triggers", "shop", "orders") or {}).get("status") or {}
        return (status.get("observedGeneration"), reason) in [
            (generation, item["reason"])
            for item in status.get("conditions", ())
            if item["type"] == "Ready"
        ]

    await until(said, PATIENCE)


async def request(at: Role, name: str) -> int:
    """One request that is answered later."""
    url = f"http://127.0.0.1:{at.settings.api_port}/v1/namespaces/shop/triggers/{name}"
    async with at.session.post(url, data=b"hello") as answer:
        return answer.status


async def test_requests_taken_before_another_got_the_address_are_answered_when_it_is_gone() -> None:
    async with serving() as fake, functions() as to, role(to) as at:
        url = f"http://127.0.0.1:{at.settings.internal_port}"
        async with running(fake, events_url=url):
            fake.put("triggers", trigger("orders", ASYNC, minute=5))
            await told(fake, 1, "TargetMissing")
            assert await request(at, "orders") == 202
            fake.put("triggers", trigger("older", ASYNC, minute=1))
            await told(fake, 1, "RouteTaken")
            fake.put("functions", function("f"))
            assert await request(at, "older") == 202
            await until(called(to, 1), PATIENCE)
            fake.remove("triggers", "shop", "older")
            await until(called(to, 2), PATIENCE)
            assert [call.body for call in to.calls] == [b"hello", b"hello"]


async def test_requests_taken_are_answered_though_new_ones_are_not_asynchronous_any_more() -> None:
    async with serving() as fake, functions() as to, role(to) as at:
        url = f"http://127.0.0.1:{at.settings.internal_port}"
        async with running(fake, events_url=url):
            fake.put("triggers", trigger("orders", ASYNC, minute=5))
            await told(fake, 1, "TargetMissing")
            assert await request(at, "orders") == 202
            fake.put("triggers", trigger("orders", {"http": {"path": "/a"}}, 5, generation=2))
            await told(fake, 2, "TargetMissing")
            fake.put("functions", function("f"))
            await until(called(to, 1), PATIENCE)
            assert await request(at, "orders") == 404
            await told(fake, 2, "Subscribed")


async def test_another_source_is_refused_and_the_one_it_has_stays_in_force() -> None:
    key, target = FunctionKey("shop", "orders"), {"function": {"name": "f"}}
    async with functions() as to, role(to) as at:
        await at.put(key, {"source": {"bus": {"name": "b"}}, "target": target})
        with pytest.raises(TriggerRefused, match="delete the Trigger and create it anew"):
            await at.put(key, {"source": {"queue": {"name": "b"}}, "target": target})
        await at.publish(7)
        await until(called(to, 1), PATIENCE)
        assert to.ids == ["7"]
