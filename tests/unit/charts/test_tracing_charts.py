"""Where the chart has traces sent to: nowhere, unless it is told."""

from __future__ import annotations

import pytest

from tests.unit.charts.test_charts import container, environment, needs_helm
from torpor.telemetry.tracing import is_configured

ENGINES = ("--set", "workflows.enabled=true")
EVENTS = ("--set", "events.enabled=true", "--set", "nats.enabled=true")
TELLING = [("controller", ()), ("engine", ENGINES), ("events", EVENTS), ("gateway", ())]
TO = ("--set", "tracing.otlpEndpoint=http://collector.observability:4318")
WITH = ("--set", "tracing.headersSecret=collector-key")


@needs_helm
@pytest.mark.parametrize(("role", "options"), TELLING)
def test_who_tells_traces_knows_where_they_go(role: str, options: tuple[str, ...]) -> None:
    assert not is_configured(environment(role, *options))
    assert is_configured(environment(role, *options, *TO))


@needs_helm
@pytest.mark.parametrize(("role", "options"), TELLING)
def test_the_headers_come_from_a_secret_that_may_be_missing(
    role: str, options: tuple[str, ...]
) -> None:
    [headers] = [
        item
        for item in container(role, *options, *TO, *WITH)["env"]
        if item["name"] == "OTEL_EXPORTER_OTLP_HEADERS"
    ]
    reference = {"name": "collector-key", "key": "headers", "optional": True}
    assert headers["valueFrom"] == {"secretKeyRef": reference}
