"""Where the chart has traces sent to: nowhere, unless it is told."""

from __future__ import annotations

import pytest

from tests.unit.charts.test_charts import container, environment, needs_helm
from torpor.telemetry.tracing import is_configured

ENGINES = ("--set", "workflows.enabled=true")
TO = ("--set", "tracing.otlpEndpoint=http://collector.observability:4318")
WITH = ("--set", "tracing.headersSecret=collector-key")


@needs_helm
@pytest.mark.parametrize("role", ["controller", "gateway", "engine"])
def test_every_role_is_told_where_traces_go(role: str) -> None:
    assert not is_configured(environment(role, *ENGINES))
    assert is_configured(environment(role, *ENGINES, *TO))


@needs_helm
def test_the_headers_come_from_a_secret() -> None:
    [headers] = [
        item
        for item in container("engine", *ENGINES, *TO, *WITH)["env"]
        if item["name"] == "OTEL_EXPORTER_OTLP_HEADERS"
    ]
    assert headers["valueFrom"] == {"secretKeyRef": {"name": "collector-key", "key": "headers"}}
