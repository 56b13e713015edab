"""A Function as its user wrote it, or a refusal that names the field."""

from __future__ import annotations

from typing import Any

import pytest

from torpor.errors import InvalidResource
from torpor.resources.function import Function


def parse(spec: dict[str, Any] | None = None, **metadata: Any) -> Function:
    return Function.parse(
        {"metadata": {"name": "cart", **metadata}, "spec": spec or {"image": "i"}}
    )


def test_defaults_are_those_of_the_schema() -> None:
    function = parse()
    assert (function.key.namespace, function.port, function.timeout_seconds) == (
        "default",
        8080,
        30,
    )
    assert function.scaling.min_replicas == 0


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"namespace": "../../etc"}, "metadata.namespace"),
        ({"name": "X/../y"}, "metadata.name"),
        ({"name": "a" * 64}, "metadata.name"),
        ({"name": "-a"}, "metadata.name"),
    ],
)
def test_a_name_that_is_no_dns_label_is_refused(metadata: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(**metadata)
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "spec"),
        ({"image": "i", "runtime": "python3"}, "spec"),
        ({"runtime": "python3", "handler": "m.h"}, "spec.code"),
        ({"image": "i", "handler": "m.h"}, "spec.handler"),
        ({"image": "i", "port": "80"}, "spec.port"),
        ({"image": "i", "timeoutSeconds": 0}, "spec.timeoutSeconds"),
        (
            {"image": "i", "scaling": {"minReplicas": 3, "maxReplicas": 2}},
            "spec.scaling.minReplicas",
        ),
        (
            {"image": "i", "scaling": {"concurrency": {"target": 5, "limit": 2}}},
            "spec.scaling.concurrency.target",
        ),
    ],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        Function.parse({"metadata": {"name": "cart"}, "spec": spec})
    assert refused.value.path == path
