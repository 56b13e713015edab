"""The quiet minutes count every write but those for the tests beside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.harness import NAMESPACE_PREFIX
from tests.cluster.test_quiet import events

QUIET, OTHER = f"{NAMESPACE_PREFIX}quiet", f"{NAMESPACE_PREFIX}other"


def line(verb: str = "patch", stage: str = "ResponseComplete", **target: str) -> str:
    event: dict[str, Any] = {"stage": stage, "verb": verb, "user": {"username": "torpor"}}
    return json.dumps({**event, "objectRef": target} if target else event)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (line(resource="functions", subresource="status", namespace=QUIET), True),
        (line(resource="secrets", namespace="torpor-system"), True),
        (line(resource="namespaces"), True),
        (line("create"), True),
        (line(resource="functions", namespace=OTHER), False),
        (line("get", resource="functions", namespace=QUIET), False),
        (line(stage="ResponseStarted", resource="functions", namespace=QUIET), False),
    ],
)
def test_a_write_counts_unless_it_is_for_a_test_beside(text: str, counted: bool) -> None:
    assert [user for user, _ in events(text, quiet=QUIET)] == ["torpor"] * counted
