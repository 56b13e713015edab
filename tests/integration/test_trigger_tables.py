"""A gateway learns from the cluster's Triggers where requests go, and follows their changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.support.fake_api import Refusal
from tests.support.platform_rig import serving
from torpor.gateway import trigger_routes
from torpor.gateway.http_table import Destination, HttpTable
from torpor.gateway.trigger_routes import watch_tables

PATIENCE = 10.0


def trigger(name: str, minute: int = 0, **source: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z",
        },
        "spec": {"source": source, "target": {"function": {"name": name}}},
    }


async def following(tables: AsyncIterator[HttpTable]) -> HttpTable:
    async with asyncio.timeout(PATIENCE):
        return await anext(tables)


def served(table: HttpTable, path: str = "/a") -> str | None:
    found = table.find("GET", "x.example", path)
    return found.function.name if isinstance(found, Destination) and found.function else None


async def test_the_table_is_whole_at_first_and_follows_what_happens() -> None:
    async with serving() as (fake, api):
        fake.put("triggers", trigger("young", minute=2, http={"path": "/a"}))
        fake.put("triggers", trigger("bus", bus={"name": "b"}))
        async with aclosing(watch_tables(api, "", events=False)) as tables:
            assert served(await following(tables)) == "young"
            fake.put("triggers", trigger("old", minute=1, http={"path": "/a/"}))
            assert served(await following(tables)) == "old"
            fake.remove("triggers", "shop", "old")
            assert served(await following(tables)) == "young"


async def test_where_the_kind_is_not_installed_a_gateway_serves_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trigger_routes, "FIRST_SECONDS", 0.3)
    async with serving() as (fake, api):
        fake.refuse("LIST", Refusal(404), times=100)
        async with aclosing(watch_tables(api, "", events=False)) as tables:
            assert served(await following(tables)) is None
