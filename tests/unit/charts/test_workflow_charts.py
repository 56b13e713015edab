"""What the chart renders for Workflows: nothing by default, engines and a PostgreSQL on demand."""

from __future__ import annotations

import subprocess
from dataclasses import fields
from typing import Any

import pytest

from tests.unit.charts.test_charts import container, environment, find, needs_helm, rendered
from torpor.settings import BadSetting, ControllerSettings, EngineSettings
from torpor.workflows.engine.role import check_clients, reach_of

ON = ("--set", "workflows.enabled=true")
ALL = ("--set", "workflows.enabled=true,postgresql.enabled=true")


def names(*settings: str) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in rendered(*settings)}


@needs_helm
def test_functions_need_no_engine_and_no_database() -> None:
    assert not [name for name in names() if "engine" in name[1] or "postgresql" in name[1]]
    assert "TORPOR_ENGINE_URL" not in environment("controller")
    assert not [name for name in names("--set", "postgresql.enabled=true") if name[0] == "Secret"]


@needs_helm
def test_every_variable_of_an_engine_is_a_setting_that_can_be_read() -> None:
    found = environment(
        "engine", *ON, "--set", "workflows.api.secretName=keys,workflows.objectStore=s3://b"
    )
    known = {f"TORPOR_{item.name.upper()}" for item in fields(EngineSettings)}
    assert set(found) <= known
    settings = EngineSettings.from_environment({**found, "TORPOR_ACCESS_KEYS": "AKIA=s"})
    assert (settings.api_port, settings.internal_port, settings.metrics_port) == (8100, 8090, 9090)
    assert settings.gateway_url == "http://torpor-gateway.torpor-system.svc:80"
    assert settings.payload_bytes == 262_144
    assert settings.access_keys == {"AKIA": "s"}


@needs_helm
def test_the_controller_is_told_where_the_engine_is() -> None:
    found = environment("controller", *ON)
    known = {f"TORPOR_{item.name.upper()}" for item in fields(ControllerSettings)}
    assert set(found) <= known
    url = ControllerSettings.from_environment(found).engine_url
    ports = {item["name"]: item["port"] for item in find("Service", "torpor-engine", *ON)["spec"]["ports"]}  # fmt: skip # noqa: E501
    assert url == f"http://torpor-engine.torpor-system.svc:{ports['internal']}"


@needs_helm
@pytest.mark.parametrize(
    ("kind", "name"), [("Deployment", "torpor-engine"), ("StatefulSet", "torpor-postgresql")]
)
def test_pods_meet_the_restricted_standard(kind: str, name: str) -> None:
    spec = find(kind, name, *ALL)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [found] = spec["containers"]
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


@needs_helm
def test_the_database_is_reached_with_the_password_that_was_made_for_it() -> None:
    found = rendered(*ALL)
    [secret] = [item["stringData"] for item in found if item["kind"] == "Secret"]
    host = "torpor-postgresql.torpor-system.svc"
    assert len(secret["password"]) == 32
    assert secret["dsn"] == f"postgresql://torpor:{secret['password']}@{host}:5432/torpor"
    variables = container("engine", *ALL)["env"]
    [source] = [item["valueFrom"] for item in variables if item["name"] == "TORPOR_LEDGER_DSN"]
    assert source == {"secretKeyRef": {"name": "torpor-ledger", "key": "dsn"}}


@needs_helm
def test_ones_own_database_is_named_by_a_secret() -> None:
    chosen = (*ON, "--set", "workflows.ledger.secretName=pg,workflows.ledger.secretKey=url")
    variables = container("engine", *chosen)["env"]
    [source] = [item["valueFrom"] for item in variables if item["name"] == "TORPOR_LEDGER_DSN"]
    assert source == {"secretKeyRef": {"name": "pg", "key": "url"}}
    assert not [item for item in rendered(*chosen) if item["kind"] in ("Secret", "StatefulSet")]


@needs_helm
def test_an_engine_may_read_the_installations_key_and_nothing_else() -> None:
    granted = [
        rule
        for item in rendered(*ON)
        if item["kind"] in ("Role", "ClusterRole") and "engine" in item["metadata"]["name"]
        for rule in item["rules"]
    ]
    assert granted == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["torpor-internal"],
            "verbs": ["get"],
        }
    ]


@needs_helm
def test_the_internal_api_is_for_the_controller_and_never_on_a_node_port() -> None:
    outside = (
        *ON,
        "--set",
        "workflows.service.type=NodePort,workflows.service.nodePort=30443,"
        "workflows.api.secretName=keys",
    )
    [port] = find("Service", "torpor-engine-external", *outside)["spec"]["ports"]
    assert (port["name"], port["nodePort"]) == ("api", 30443)
    rules = find("NetworkPolicy", "torpor-engine", *ON)["spec"]["ingress"]
    peers = {rule["ports"][0]["port"]: rule.get("from") for rule in rules}
    [controller] = peers["internal"]
    labels = controller["podSelector"]["matchLabels"]
    assert labels["app.kubernetes.io/component"] == "controller"
    clients = [{"namespaceSelector": {"matchLabels": {"torpor.dev/workflows": "client"}}}]
    assert peers["api"] == clients, "not even engines: a task must not reach the API"
    assert peers["metrics"] is None
    rules = find("NetworkPolicy", "torpor-engine", *outside)["spec"]["ingress"]
    assert [rule["from"] for rule in rules if rule["ports"][0]["port"] == "api"] == [clients]


@needs_helm
def test_an_api_that_nobody_is_let_to_is_open_to_nobody() -> None:
    chosen = (*ON, "--set-json", "workflows.api.allowFrom=[]")
    rules = find("NetworkPolicy", "torpor-engine", *chosen)["spec"]["ingress"]
    assert {rule["ports"][0]["port"] for rule in rules} == {"metrics", "internal"}


@needs_helm
@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_the_api_is_not_opened_to_the_outside_without_keys(kind: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(*ON, "--set", f"workflows.service.type={kind}")
    assert "workflows.api.secretName" in refused.value.stderr


@needs_helm
def test_an_engine_with_a_secret_that_has_no_keys_does_not_start() -> None:
    found = environment("engine", *ON, "--set", "workflows.api.secretName=keys")
    settings = EngineSettings.from_environment({**found, "TORPOR_ACCESS_KEYS": ""})
    with pytest.raises(BadSetting, match="neither a key"):
        check_clients(settings)
    check_clients(EngineSettings.from_environment({**found, "TORPOR_ACCESS_KEYS": "AKIA=s"}))
    check_clients(EngineSettings.from_environment({**found, "TORPOR_API_TOKEN": "t"}))
    check_clients(EngineSettings.from_environment(environment("engine", *ON)))


def test_a_word_for_clients_that_means_nothing_is_refused() -> None:
    with pytest.raises(BadSetting, match="TORPOR_API_CLIENTS"):
        check_clients(EngineSettings(api_clients="Known", api_token="t"))


@needs_helm
def test_what_http_tasks_may_call_is_in_the_values() -> None:
    lists = (
        "workflows.http.allow={hooks.corp.example,10.1.0.0/16},workflows.http.refuse={9.0.0.0/8}"
    )
    settings = EngineSettings.from_environment(environment("engine", *ON, "--set", lists))
    assert settings.http_allow == "hooks.corp.example,10.1.0.0/16"
    assert settings.http_refuse == "9.0.0.0/8"
    assert reach_of(settings).hosts == {"hooks.corp.example"}
    with pytest.raises(BadSetting, match="not a network"):
        reach_of(EngineSettings(http_refuse="x"))


@needs_helm
def test_connections_are_files_of_the_engine_and_no_right_to_read_secrets() -> None:
    given = "namespace=shop,workflows.connections[0].name=Stripe,workflows.connections[0].secret=s"
    settings = (*ON, "--set", f"workflows.connections[0].{given}")
    engine = find("Deployment", "torpor-engine", *settings)["spec"]["template"]["spec"]
    [volume] = [item["projected"] for item in engine["volumes"] if item["name"] == "connections"]
    items = [{"key": "connection.json", "path": "shop/Stripe.json"}]
    assert volume["sources"] == [{"secret": {"name": "s", "optional": True, "items": items}}]
    assert volume["defaultMode"] == 0o440
    [mount] = [one for one in engine["containers"][0]["volumeMounts"] if one["name"] != "tmp"]
    assert mount == {
        "name": "connections",
        "mountPath": "/etc/torpor/connections",
        "readOnly": True,
    }
    found = EngineSettings.from_environment(environment("engine", *settings))
    assert found.connections_folder == mount["mountPath"]
    assert rights(*settings) == rights(*ON)
    assert "connections" not in str(find("Deployment", "torpor-engine", *ON))


@needs_helm
@pytest.mark.parametrize("wrong", ["name=../x", "namespace=..", "other=x"])
def test_a_connection_that_could_lead_elsewhere_is_refused(wrong: str) -> None:
    given = "namespace=shop,workflows.connections[0].name=a,workflows.connections[0].secret=s"
    words = f"workflows.connections[0].{given},workflows.connections[0].{wrong}"
    with pytest.raises(subprocess.CalledProcessError):
        rendered(*ON, "--set", words)


def rights(*settings: str) -> list[Any]:
    """Everything that anyone is allowed."""
    return [item["rules"] for item in rendered(*settings) if item["kind"].endswith("Role")]


@needs_helm
def test_only_engines_reach_the_database() -> None:
    spec = find("NetworkPolicy", "torpor-postgresql", *ALL)["spec"]
    [rule] = spec["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "engine"


@needs_helm
def test_an_engine_has_the_time_to_end_its_calls() -> None:
    chosen = (*ON, "--set", "workflows.drainSeconds=100")
    spec = find("Deployment", "torpor-engine", *chosen)["spec"]["template"]["spec"]
    [found] = spec["containers"]
    leaving = found["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > leaving + 100


@needs_helm
def test_an_account_that_is_none_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(*ON, "--set-string", "workflows.api.account=acme")
    assert "account" in refused.value.stderr
