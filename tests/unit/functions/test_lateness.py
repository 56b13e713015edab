"""What is told of instances that are late and complain of nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.functions.builders import IMAGE, function
from torpor.functions.lateness import Unstarted, late


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "its node still fetches or makes it"),
        (
            {"volumes": [{"name": "a", "mountPath": "/a", "secret": {"secretName": "keys"}}]},
            "its node may wait for Secret 'keys' of spec.volumes",
        ),
        (
            {
                "volumes": [
                    {"name": "a", "mountPath": "/a", "configMap": {"name": "x", "optional": True}}
                ]
            },
            "its node still fetches or makes it",
        ),
        (
            {"resources": {"limits": {"memory": "1Mi"}}},
            "spec.resources.limits.memory: 1Mi is too little to make a container in",
        ),
        ({"resources": {"limits": {"memory": "64Mi"}}}, "its node still fetches or makes it"),
    ],
)
def test_a_container_that_was_never_started_is_not_said_to_listen_nowhere(
    spec: dict[str, Any], said: str
) -> None:
    problem = late(function({**IMAGE, **spec}), Unstarted())
    assert problem.reason == "NotStarted"
    assert problem.message.startswith("no instance's container was started within 60 s: ")
    assert said in problem.message
    assert "port" not in problem.message


def test_a_container_that_runs_is_told_where_to_listen() -> None:
    problem = late(function(IMAGE), None)
    assert problem.reason == "NotReady"
    assert "port 8080 ($PORT)" in problem.message
