"""What the chart renders for the dashboard: nothing by default, one pod that may only look."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tests.unit.charts.test_charts import container, environment, find, needs_helm, rendered
from torpor.settings import DashboardSettings
from torpor.telemetry.tracing import is_configured

ON = ("--set", "dashboard.enabled=true")
ALL = (
    "--set",
    "dashboard.enabled=true,workflows.enabled=true,events.enabled=true,nats.enabled=true",
)
HERE = "http://torpor-dashboard.torpor-system.svc:4318"
SELECTED = {"app.kubernetes.io/name": "torpor", "app.kubernetes.io/component": "dashboard"}


def rules(*settings: str) -> list[tuple[str, str, str, str]]:
    """The dashboard's rights: kind and namespace of the role, resource, verb; none by group."""
    return sorted(
        (item["kind"], item["metadata"].get("namespace", ""), resource, verb)
        for item in rendered(*settings)
        if item["kind"] in ("Role", "ClusterRole") and "dashboard" in item["metadata"]["name"]
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def admitted(policy: str, port: str, *settings: str) -> list[dict[str, Any]] | None:
    """The peers that a NetworkPolicy lets in at a port; None: everybody."""
    found: list[dict[str, Any]] = []
    for rule in find("NetworkPolicy", policy, *settings)["spec"]["ingress"]:
        if any(item["port"] == port for item in rule["ports"]):
            if "from" not in rule:
                return None
            found += rule["from"]
    return found


@needs_helm
def test_nobody_who_does_not_want_to_be_watched_pays_for_it() -> None:
    assert not [item for item in rendered() if "dashboard" in item["metadata"]["name"]]
    for role in ("controller", "gateway"):
        assert not is_configured(environment(role))


@needs_helm
def test_the_pod_meets_the_restricted_standard() -> None:
    spec = find("Deployment", "torpor-dashboard", *ON)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    found = container("dashboard", *ON)
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(found)
    assert found["resources"]["limits"]["memory"]


@needs_helm
def test_it_may_look_and_read_no_secret_but_the_installations_key() -> None:
    found = rules(*ON)
    assert {verb for *_, verb in found} <= {"get", "list", "watch"}
    assert [rule for rule in found if rule[2] == "secrets"] == [
        ("Role", "torpor-system", "secrets", "get")
    ]
    own = find("Role", "torpor-dashboard-own", *ON)["rules"]
    [secret] = [rule for rule in own if rule["resources"] == ["secrets"]]
    assert secret["resourceNames"] == ["torpor-internal"]
    one = rules(*ON, "--set", "watchNamespace=shop")
    assert {(kind, namespace) for kind, namespace, *_ in one} == {
        ("Role", "shop"),
        ("Role", "torpor-system"),
    }


@needs_helm
def test_it_is_told_of_the_roles_that_there_are() -> None:
    names = set(environment("dashboard", *ON))
    assert not {"TORPOR_ENGINE_URL", "TORPOR_ENGINE_API_URL", "TORPOR_EVENTS_URL"} & names
    found = environment("dashboard", *ALL)
    assert found["TORPOR_ENGINE_API_URL"] == "http://torpor-engine.torpor-system.svc:8100"
    events = "http://torpor-events-internal.torpor-system.svc:8090"
    assert found["TORPOR_EVENTS_URL"] == events


@needs_helm
def test_every_variable_is_a_setting_that_can_be_read() -> None:
    keys = ("--set", "workflows.api.secretName=keys")
    found = {k: v for k, v in environment("dashboard", *ALL, *keys).items() if "OTEL" not in k}
    assert set(found) <= {f"TORPOR_{item.name.upper()}" for item in fields(DashboardSettings)}
    settings = DashboardSettings.from_environment(found)
    ports = {item["name"]: item["containerPort"] for item in container("dashboard", *ALL)["ports"]}
    assert ports == {
        "http": settings.dashboard_port,
        "otlp": settings.otlp_port,
        "metrics": settings.metrics_port,
    }
    service = find("Service", "torpor-dashboard", *ALL)["spec"]["ports"]
    assert {item["name"]: item["targetPort"] for item in service} == {n: n for n in ports}


@needs_helm
def test_functions_tell_spans_only_where_that_is_asked_for() -> None:
    variable = "TORPOR_FUNCTION_OTLP_ENDPOINT"
    told = ("--set", "tracing.functions=true")
    assert variable not in environment("controller", *ON)
    assert variable not in environment("controller", *told)
    assert environment("controller", *ON, *told)[variable] == HERE


@needs_helm
@pytest.mark.parametrize("role", ["controller", "engine", "events", "gateway"])
def test_it_gets_the_spans_unless_a_collector_is_named(role: str) -> None:
    variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert environment(role, *ALL)[variable] == HERE
    elsewhere = ("--set", "tracing.otlpEndpoint=http://collector:4318")
    assert environment(role, *ALL, *elsewhere)[variable] == "http://collector:4318"


@needs_helm
def test_a_collectors_headers_are_not_for_the_dashboard() -> None:
    key = ("--set", "tracing.headersSecret=collector-key")
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in environment("gateway", *ON, *key)
    named = ("--set", "tracing.otlpEndpoint=http://collector:4318")
    assert "OTEL_EXPORTER_OTLP_HEADERS" in environment("gateway", *ON, *key, *named)


@needs_helm
def test_it_does_not_send_spans_to_itself_and_hands_them_on_where_it_is_told() -> None:
    assert not is_configured(environment("dashboard", *ON))
    given = '[{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]'
    found = environment("dashboard", *ON, "--set-json", f"dashboard.env={given}")
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"


@needs_helm
def test_the_page_is_for_nobody_who_was_not_named() -> None:
    assert admitted("torpor-dashboard", "http", *ON) == []
    peer = {"ipBlock": {"cidr": "10.0.0.1/32"}}
    named = (*ON, "--set", "dashboard.allowFrom[0].ipBlock.cidr=10.0.0.1/32")
    assert admitted("torpor-dashboard", "http", *named) == [peer]


@needs_helm
def test_spans_come_from_roles_and_from_functions_that_tell_any() -> None:
    labels = {"app.kubernetes.io/name": "torpor", "app.kubernetes.io/instance": "torpor"}
    roles = {"podSelector": {"matchLabels": labels}}
    assert admitted("torpor-dashboard", "otlp", *ON) == [roles]
    found = admitted("torpor-dashboard", "otlp", *ON, "--set", "tracing.functions=true")
    assert found is not None
    [functions] = [peer for peer in found if peer != roles]
    assert functions["namespaceSelector"] == {}
    assert functions["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "function"


@needs_helm
@pytest.mark.parametrize(
    ("policy", "port"),
    [
        ("torpor-controller", "internal"),
        ("torpor-engine", "internal"),
        ("torpor-engine", "api"),
        ("torpor-events", "internal"),
    ],
)
def test_the_roles_that_it_asks_let_it_in(policy: str, port: str) -> None:
    def lets_in(*settings: str) -> bool:
        labels = [
            peer.get("podSelector", {}).get("matchLabels", {})
            for peer in admitted(policy, port, *settings) or ()
        ]
        return any(SELECTED.items() <= item.items() for item in labels)

    assert lets_in(*ALL)
    assert not lets_in(*ALL, "--set", "dashboard.enabled=false")
