"""Limits of the code that the chart's values must keep to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from torpor.gateway.dataplane.haproxy.driver import PEERS

SCHEMA = Path(__file__).parents[3] / "charts" / "torpor" / "values.schema.json"


@pytest.fixture
def replicas() -> dict[str, Any]:
    schema = json.loads(SCHEMA.read_text())
    found: dict[str, Any] = schema["properties"]["gateway"]["properties"]["replicas"]
    return found


def test_there_are_no_more_gateways_than_each_can_forward_to(replicas: dict[str, Any]) -> None:
    assert replicas["maximum"] == PEERS
    assert str(PEERS) in replicas["description"]
