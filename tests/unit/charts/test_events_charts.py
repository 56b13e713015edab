"""What the chart renders for Triggers: nothing by default, the events role and NATS on demand."""

from __future__ import annotations

import json
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.unit.charts.test_charts import container, environment, find, needs_helm, rendered
from torpor.settings import ControllerSettings, EventsSettings, GatewaySettings
from torpor.triggers.broker.embedded import find_program

ON = ("--set", "events.enabled=true,nats.enabled=true")
OWN = ("--set", "events.enabled=true,events.nats.url=tls://nats.example:4222")
THREE = ("--set", "events.enabled=true,nats.enabled=true,nats.replicas=3")
SYSTEM = "torpor-system"


def granted(*settings: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The rules of the events role: kind, namespace, rule."""
    found = [
        (item["kind"], item["metadata"].get("namespace", ""), rule)
        for item in rendered(*settings)
        if item["kind"] in ("Role", "ClusterRole") and "events" in item["metadata"]["name"]
        for rule in item["rules"]
    ]
    return sorted(found, key=lambda item: item[:2])


def configuration(*settings: str) -> dict[str, Any]:
    text = find("Secret", "torpor-nats", *settings)["stringData"]["nats.conf"]
    found: dict[str, Any] = json.loads(text)
    return found


@needs_helm
def test_functions_and_workflows_need_no_events_role_and_no_broker() -> None:
    names = {item["metadata"]["name"] for item in rendered("--set", "workflows.enabled=true")}
    assert not [name for name in names if "events" in name or "nats" in name]
    for role in ("controller", "gateway"):
        assert "TORPOR_EVENTS_URL" not in environment(role)


@needs_helm
@pytest.mark.parametrize("chosen", [ON, OWN], ids=["own NATS of the chart", "one's own NATS"])
def test_every_variable_is_a_setting_that_can_be_read(chosen: tuple[str, ...]) -> None:
    more = (
        "--set",
        "workflows.enabled=true,workflows.api.secretName=keys,events.api.secretName=keys,"
        "events.objectStore=s3://b,events.nats.secretName=nats,events.ackWaitSeconds=7",
    )
    found = environment("events", *chosen, *more)
    assert set(found) <= {f"TORPOR_{item.name.upper()}" for item in fields(EventsSettings)}
    settings = EventsSettings.from_environment({**found, "TORPOR_ACCESS_KEYS": "AKIA=s"})
    assert (settings.api_port, settings.internal_port, settings.metrics_port) == (8200, 8090, 9090)
    assert settings.gateway_url == "http://torpor-gateway.torpor-system.svc:80"
    assert settings.store_bytes == (7_000_000_000 if chosen is ON else 0)  # nats.maxFileStore
    assert settings.engine_api_url == "http://torpor-engine.torpor-system.svc:8100"
    assert (settings.api_clients, settings.object_store) == ("known", "s3://b")
    assert settings.ack_wait_seconds == 7


@needs_helm
def test_the_others_are_told_where_it_is() -> None:
    ports = {
        item["name"]: item["port"]
        for item in find("Service", "torpor-events", *ON)["spec"]["ports"]
    }
    assert {"api", "internal"} <= set(ports), "the command line goes to both by name"
    controller = ControllerSettings.from_environment(environment("controller", *ON))
    internal = find("Service", "torpor-events-internal", *ON)["spec"]
    assert internal["clusterIP"] == "None", "each replica is asked"
    port = internal["ports"][0]["port"]
    assert controller.events_url == f"http://torpor-events-internal.torpor-system.svc:{port}"
    gateway = GatewaySettings.from_environment(environment("gateway", *ON))
    whole = "torpor-events.torpor-system.svc.cluster.local"
    assert gateway.events_address() == (whole, ports["api"])


@needs_helm
@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (("--set", "events.enabled=true"), "set nats.enabled=true"),
        ((*ON, "--set", "events.nats.url=nats://a:4222"), "not both"),
        ((*ON, "--set", "events.service.type=NodePort"), "events.api.secretName"),
        (
            (*ON, "--set", "watchNamespace=shop", "--set-json", 'events.secretNamespaces=["*"]'),
            "events.secretNamespaces",
        ),
        ((*ON, "--set", "nats.replicas=2"), "replicas"),
    ],
)
def test_what_cannot_be_meant_is_refused(chosen: tuple[str, ...], said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(*chosen)
    assert said in refused.value.stderr


@needs_helm
@pytest.mark.parametrize(
    ("kind", "name"), [("Deployment", "torpor-events"), ("StatefulSet", "torpor-nats")]
)
def test_pods_meet_the_restricted_standard(kind: str, name: str) -> None:
    spec = find(kind, name, *ON)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [found] = spec["containers"]
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


@needs_helm
@pytest.mark.parametrize("chosen", [ON, THREE], ids=["1", "3"])
def test_the_servers_configuration_is_one_that_the_server_takes(
    chosen: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "nats.conf"
    file.write_text(json.dumps(configuration(*chosen)))
    done = subprocess.run(
        [find_program(), "-t", "-c", file], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, "is valid" in done.stderr) == (0, True), done.stderr


@needs_helm
def test_writes_are_on_disk_before_they_are_answered_and_only_who_knows_the_token_gets_in() -> None:
    found = configuration(*ON)
    assert found["jetstream"]["sync_interval"] == "always"
    token = find("Secret", "torpor-nats", *ON)["stringData"]["token"]
    assert found["authorization"] == {"token": token}
    assert len(token) == 32
    assert "cluster" not in found
    variables = container("events", *ON)["env"]
    [source] = [item["valueFrom"] for item in variables if item["name"] == "TORPOR_NATS_TOKEN"]
    assert source == {"secretKeyRef": {"name": "torpor-nats", "key": "token"}}


@needs_helm
def test_three_servers_are_a_cluster_on_three_nodes_with_three_copies() -> None:
    routes = configuration(*THREE)["cluster"]["routes"]
    hosts = [route.partition("@")[2] for route in routes]
    assert hosts == [f"torpor-nats-{n}.torpor-nats-peers.{SYSTEM}.svc:6222" for n in range(3)]
    spec = find("StatefulSet", "torpor-nats", *THREE)["spec"]
    affinity = spec["template"]["spec"]["affinity"]["podAntiAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert spec["serviceName"] == "torpor-nats-peers"
    found = EventsSettings.from_environment(environment("events", *THREE))
    assert found.stream_replicas == 3
    assert find("PodDisruptionBudget", "torpor-nats", *THREE)["spec"]["maxUnavailable"] == 1


@needs_helm
def test_ones_own_broker_needs_none_of_the_charts() -> None:
    chosen = (*OWN, "--set", "events.nats.secretName=mine,events.nats.streamReplicas=3")
    assert not [item for item in rendered(*chosen) if "nats" in item["metadata"]["name"]]
    found = EventsSettings.from_environment(environment("events", *chosen))
    assert (found.nats_url, found.stream_replicas) == ("tls://nats.example:4222", 3)


@needs_helm
def test_the_role_reads_the_installations_key_and_only_what_it_was_allowed() -> None:
    key = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["torpor-internal"],
        "verbs": ["get"],
    }
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    watch = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]}
    assert granted(*ON) == [("Role", SYSTEM, key)]
    some = (*ON, "--set-json", 'events.secretNamespaces=["shop","billing"]')
    assert granted(*some) == [
        ("Role", "billing", secrets),
        ("Role", "shop", secrets),
        ("Role", SYSTEM, key),
    ]
    every = (*ON, "--set-json", 'events.secretNamespaces=["shop","*"]')
    assert granted(*every) == [("ClusterRole", "", secrets), ("Role", SYSTEM, key)]
    objects = 'events.kubernetesResources=[{"group":"apps","resources":["deployments"]}]'
    assert ("ClusterRole", "", watch) in granted(*ON, "--set-json", objects)
    one = (*ON, "--set", "watchNamespace=shop", "--set-json", objects)
    assert ("Role", "shop", watch) in granted(*one)


@needs_helm
def test_who_may_talk_to_whom() -> None:
    chosen = (*ON, "--set", "workflows.enabled=true")

    def peers(name: str) -> dict[str, list[str] | None]:
        rules = find("NetworkPolicy", name, *chosen)["spec"]["ingress"]
        return {
            rule["ports"][0]["port"]: [
                peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
                for peer in rule["from"]
                if "podSelector" in peer
            ]
            if "from" in rule
            else None
            for rule in rules
        }

    assert peers("torpor-events") == {
        "metrics": None,
        "internal": ["controller"],
        "api": ["gateway", "engine"],
    }
    assert peers("torpor-nats") == {"nats": ["events"], "routes": ["nats"]}
    rules = find("NetworkPolicy", "torpor-engine", *chosen)["spec"]["ingress"]
    assert any("events" in str(rule.get("from")) for rule in rules)


@needs_helm
def test_the_internal_api_is_never_on_a_node_port() -> None:
    outside = (*ON, "--set", "events.service.type=NodePort,events.api.secretName=keys")
    [port] = find("Service", "torpor-events-external", *outside)["spec"]["ports"]
    assert port["name"] == "api"
