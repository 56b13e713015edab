"""A Workflow object becomes frozen values, or the refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.errors import InvalidResource
from torpor.resources.names import FunctionKey
from torpor.resources.workflow import (
    Concurrency,
    ConfigMapKey,
    DeletionPolicy,
    LogLevel,
    Workflow,
    WorkflowType,
)

DEFINITION = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}


def parsed(**spec: Any) -> Workflow:
    meta = {"name": "order", "namespace": "shop", "uid": "u1", "generation": 3}
    return Workflow.parse({"metadata": meta, "spec": spec})


def test_defaults() -> None:
    found = parsed(definition=DEFINITION)
    assert (found.key, found.uid, found.generation) == (FunctionKey("shop", "order"), "u1", 3)
    assert found.definition == DEFINITION
    assert found.type is WorkflowType.STANDARD
    assert (found.timeout_seconds, found.concurrency, found.retention_days) == (None, None, 90)
    assert (found.logging.level, found.tracing) == (LogLevel.OFF, True)
    assert found.deletion_policy is DeletionPolicy.DRAIN


def test_everything_that_can_be_said() -> None:
    found = parsed(
        definitionFrom={"configMapKeyRef": {"name": "asl", "key": "order.json"}},
        type="Express",
        timeoutSeconds=60,
        logging={"level": "ERROR", "includeExecutionData": True},
        concurrency={"limit": 2, "key": "customer.id"},
        retention={"days": 7},
        resources={"arn:aws:lambda:x": "charge"},
        tracing={"enabled": False},
        deletionPolicy="Stop",
    )
    assert found.definition_from == ConfigMapKey("asl", "order.json")
    assert (found.type, found.timeout_seconds) == (WorkflowType.EXPRESS, 60)
    assert (found.logging.level, found.logging.include_execution_data) == (LogLevel.ERROR, True)
    assert found.concurrency == Concurrency(2, "customer.id")
    assert (found.retention_days, found.tracing) == (7, False)
    assert found.resources == {"arn:aws:lambda:x": "charge"}
    assert found.deletion_policy is DeletionPolicy.STOP


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "spec"),
        (
            {
                "definition": DEFINITION,
                "definitionFrom": {"configMapKeyRef": {"name": "a", "key": "b"}},
            },
            "spec",
        ),
        ({"definitionFrom": {}}, "spec.definitionFrom.configMapKeyRef.name"),
        ({"definition": "StartAt"}, "spec.definition"),
        ({"definition": DEFINITION, "type": "STANDARD"}, "spec.type"),
        ({"definition": DEFINITION, "timeoutSeconds": 0}, "spec.timeoutSeconds"),
        ({"definition": DEFINITION, "concurrency": {}}, "spec.concurrency.limit"),
        ({"definition": DEFINITION, "concurrency": {"limit": 0}}, "spec.concurrency.limit"),
        ({"definition": DEFINITION, "retention": {"days": 0}}, "spec.retention.days"),
        ({"definition": DEFINITION, "resources": {"x": 1}}, "spec.resources[x]"),
        ({"definition": DEFINITION, "resources": {"x": "other/charge"}}, "spec.resources[x]"),
        ({"definition": DEFINITION, "deletionPolicy": "Orphan"}, "spec.deletionPolicy"),
    ],
)
def test_a_refusal_names_the_field(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        parsed(**spec)
    assert refused.value.path == path
