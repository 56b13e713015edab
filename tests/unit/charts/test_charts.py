"""The charts: what they render, for whom, and that their copies of the kinds are right."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from torpor.settings import ControllerSettings, GatewaySettings

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ROOT / "charts"
CACHED = Path.home() / ".cache" / "torpor" / "cluster" / "bin"
HELM = os.environ.get("HELM") or shutil.which("helm", path=f"{os.environ['PATH']}:{CACHED}")
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm on the PATH, nor named by HELM")


@cache
def rendered(*settings: str) -> tuple[dict[str, Any], ...]:
    assert HELM is not None
    command = [HELM, "template", "torpor", str(CHARTS / "torpor"), "--namespace", "torpor-system"]
    done = subprocess.run(
        [*command, *settings], check=True, capture_output=True, text=True, timeout=60
    )
    return tuple(item for item in yaml.safe_load_all(done.stdout) if item)


def find(kind: str, name: str, *settings: str) -> dict[str, Any]:
    [found] = [
        item
        for item in rendered(*settings)
        if (item["kind"], item["metadata"]["name"]) == (kind, name)
    ]
    return found


def container(name: str, *settings: str) -> dict[str, Any]:
    spec = find("Deployment", f"torpor-{name}", *settings)["spec"]["template"]["spec"]
    [found] = spec["containers"]
    return dict(found)


def environment(name: str, *settings: str) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container(name, *settings)["env"]}


def rules(name: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for kind in ("ClusterRole", "Role")
        for item in rendered()
        if item["kind"] == kind and item["metadata"]["name"].startswith(f"torpor-{name}")
        for rule in item["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_copies_of_the_kinds_are_right() -> None:
    script = CHARTS / "sync-crds.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")


@needs_helm
@pytest.mark.parametrize("chart", ["torpor", "torpor-crds"])
def test_helm_finds_nothing_to_complain_about(chart: str) -> None:
    assert HELM is not None
    done = subprocess.run(
        [HELM, "lint", "--strict", str(CHARTS / chart)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@needs_helm
@pytest.mark.parametrize(
    ("role", "kind"), [("controller", ControllerSettings), ("gateway", GatewaySettings)]
)
def test_every_variable_is_a_setting_that_can_be_read(role: str, kind: type) -> None:
    found = environment(role)
    known = {f"TORPOR_{item.name.upper()}" for item in fields(kind)}
    assert set(found) <= known
    settings = kind.from_environment(found)  # type: ignore[attr-defined]
    assert settings.namespace == "torpor-system"
    assert settings.internal_port == 8090


@needs_helm
def test_images_follow_registry_and_tag() -> None:
    chosen = ("--set", "image.registry=reg.example/x/,image.tag=v9,gateway.image=mine/gw:7")
    assert container("controller", *chosen)["image"] == "reg.example/x/torpor/operator:v9"
    assert container("gateway", *chosen)["image"] == "reg.example/x/mine/gw:7"
    found = environment("controller", *chosen)
    runtimes = found["TORPOR_RUNTIME_IMAGES"].split(",")
    assert "python3=reg.example/x/torpor/runtime-python:v9" in runtimes
    assert found["TORPOR_ANNOUNCER_IMAGE"] == "reg.example/x/torpor/announcer:v9"


@needs_helm
@pytest.mark.parametrize("role", ["controller", "gateway"])
def test_roles_meet_the_restricted_standard(role: str) -> None:
    spec = find("Deployment", f"torpor-{role}")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    found = container(role)["securityContext"]
    assert found["capabilities"] == {"drop": ["ALL"]}
    assert found["readOnlyRootFilesystem"] is True
    assert found["allowPrivilegeEscalation"] is False


@needs_helm
def test_a_gateway_has_the_time_to_end_what_it_began() -> None:
    chosen = ("--set", "gateway.drainSeconds=100")
    spec = find("Deployment", "torpor-gateway", *chosen)["spec"]["template"]["spec"]
    [found] = spec["containers"]
    leaving = found["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > leaving + 100
    assert environment("gateway", *chosen)["TORPOR_DRAIN_SECONDS"] == "100"


@needs_helm
def test_a_gateways_run_directory_is_writable_and_in_memory() -> None:
    spec = find("Deployment", "torpor-gateway")["spec"]["template"]["spec"]
    volumes = {item["name"]: item for item in spec["volumes"]}
    paths = {item["mountPath"]: item["name"] for item in spec["containers"][0]["volumeMounts"]}
    run = environment("gateway")["TORPOR_RUN_DIRECTORY"]
    assert volumes[paths[run]]["emptyDir"]["medium"] == "Memory"


@needs_helm
def test_services_lead_to_the_gateways() -> None:
    public, internal = (
        find("Service", name)["spec"] for name in ("torpor-gateway", "torpor-gateway-internal")
    )
    labels = find("Deployment", "torpor-gateway")["spec"]["template"]["metadata"]["labels"]
    assert public["selector"].items() <= labels.items()
    assert public["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert (internal["clusterIP"], internal["publishNotReadyAddresses"]) == ("None", True)
    assert {item["port"] for item in internal["ports"]} == {8090, 8082}


@needs_helm
def test_a_node_port_is_set_only_where_there_is_one() -> None:
    chosen = "gateway.service.nodePort=30080"
    assert "nodePort" not in find("Service", "torpor-gateway", "--set", chosen)["spec"]["ports"][0]
    kind = f"{chosen},gateway.service.type=NodePort"
    assert find("Service", "torpor-gateway", "--set", kind)["spec"]["ports"][0]["nodePort"] == 30080


@needs_helm
def test_nobody_may_do_everything() -> None:
    for role in ("controller", "gateway"):
        found = rules(role)
        assert not any("*" in part for rule in found for part in rule)
        assert ("", "secrets", "list") not in found
    gateway = rules("gateway")
    writes = {rule for rule in gateway if rule[2] not in ("get", "list", "watch")}
    assert writes == {("apps", "deployments/scale", "patch")}


@needs_helm
def test_one_namespace_needs_no_cluster_role() -> None:
    found = rendered("--set", "watchNamespace=shop,aggregateRoles=false")
    assert not [item for item in found if item["kind"].startswith("ClusterRole")]
    roles = [item for item in found if item["kind"] == "Role"]
    assert {item["metadata"]["namespace"] for item in roles} == {"shop", "torpor-system"}


@needs_helm
def test_a_value_that_does_not_exist_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered("--set", "gateway.replica=3")
    assert re.search(r"replica.*not allowed", refused.value.stderr)


@needs_helm
def test_one_replica_has_no_disruption_budget() -> None:
    def budgets(*settings: str) -> int:
        return sum(item["kind"] == "PodDisruptionBudget" for item in rendered(*settings))

    assert budgets() == 2
    assert budgets("--set", "gateway.replicas=1,controller.replicas=1") == 0


@needs_helm
def test_the_plain_manifest_has_the_kinds_a_namespace_and_the_roles() -> None:
    assert HELM is not None
    script = runpy.run_path(str(CHARTS / "render-install.py"))
    text = script["rendered"](HELM, ["--set", "image.tag=v9"])
    found = [(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(text) if item]
    assert found[:2] == [
        ("Namespace", "torpor-system"),
        ("CustomResourceDefinition", "functions.torpor.dev"),
    ]
    assert {("Deployment", "torpor-controller"), ("Deployment", "torpor-gateway")} <= set(found)
    assert "managed-by: Helm" not in text
