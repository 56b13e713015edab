"""What operating asks of the chart: every pod is bounded, guarded and spread; values are typed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.charts.test_charts import CHARTS, find, needs_helm, rendered

CHART = CHARTS / "torpor"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
ALL = (
    "--set",
    "workflows.enabled=true,postgresql.enabled=true,events.enabled=true,nats.enabled=true,"
    "nats.replicas=3,metrics.podMonitor.enabled=true,metrics.dashboards.enabled=true,"
    "metrics.prometheusRule.enabled=true,dashboard.enabled=true",
)
COMPONENT = "app.kubernetes.io/component"
WORKLOADS = {"controller", "gateway", "engine", "events", "nats", "postgresql", "dashboard"}


def pods(*settings: str) -> dict[str, Mapping[str, Any]]:
    """Every pod of the chart by its component, the one of `helm test` included."""
    found = {}
    for item in rendered(*settings):
        template = item if item["kind"] == "Pod" else item.get("spec", {}).get("template")
        if template is not None:
            found[template["metadata"]["labels"][COMPONENT]] = template
    return found


@needs_helm
def test_every_pod_meets_the_restricted_standard_and_is_bounded() -> None:
    found = pods(*ALL)
    assert found.keys() == WORKLOADS | {"test"}
    for name, pod in found.items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not [item for item in spec.get("volumes", ()) if "hostPath" in item], name
        for container in spec["containers"]:
            guarded = container["securityContext"]
            assert guarded["allowPrivilegeEscalation"] is False, name
            assert guarded["capabilities"] == {"drop": ["ALL"]}, name
            assert guarded["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


@needs_helm
def test_every_workload_says_who_may_reach_it() -> None:
    policies = [item["spec"] for item in rendered(*ALL) if item["kind"] == "NetworkPolicy"]
    chosen = [item["podSelector"]["matchLabels"][COMPONENT] for item in policies]
    assert sorted(chosen) == sorted(WORKLOADS)
    assert all("Ingress" in item["policyTypes"] for item in policies)


@needs_helm
def test_scaling_is_held_to_functions_where_the_installation_is_the_clusters() -> None:
    policy = find("ValidatingAdmissionPolicy", "torpor-scales-functions")["spec"]
    binding = find("ValidatingAdmissionPolicyBinding", "torpor-scales-functions")["spec"]
    assert binding == {"policyName": "torpor-scales-functions", "validationActions": ["Deny"]}
    [condition] = policy["matchConditions"]
    for role in ("gateway", "controller"):
        account = f"system:serviceaccount:torpor-system:torpor-{role}"
        assert f"'{account}'" in condition["expression"]
    kinds = {item["kind"] for item in rendered("--set", "watchNamespace=shop")}
    assert "ValidatingAdmissionPolicy" not in kinds


@needs_helm
def test_what_has_several_replicas_is_spread_and_keeps_one() -> None:
    found = rendered(*ALL)
    budgets = {
        item["spec"]["selector"]["matchLabels"][COMPONENT]
        for item in found
        if item["kind"] == "PodDisruptionBudget"
    }
    assert budgets == WORKLOADS - {"postgresql", "dashboard"}
    for name, pod in pods(*ALL).items():
        if name in ("controller", "gateway", "engine", "events"):
            keys = [item["topologyKey"] for item in pod["spec"]["topologySpreadConstraints"]]
            assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


@needs_helm
@pytest.mark.parametrize(
    ("role", "values"),
    [
        ("controller", "controller"),
        ("engine", "workflows"),
        ("events", "events"),
        ("dashboard", "dashboard"),
    ],
)
def test_what_changes_a_role_changes_its_pods(role: str, values: str) -> None:
    plain = pods(*ALL)[role]
    assert pods(*ALL, "--set", "logLevel=DEBUG")[role] != plain
    named = pods(*ALL, "--set", f"{values}.priorityClassName=high")[role]
    assert named["spec"]["priorityClassName"] == "high"


@needs_helm
def test_metrics_keep_the_namespace_of_what_they_count() -> None:
    [endpoint] = find("PodMonitor", "torpor", *ALL)["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    monitored = find("PodMonitor", "torpor", *ALL)["spec"]["selector"]["matchLabels"]
    for name in ("controller", "gateway", "engine", "events", "dashboard"):
        pod = pods(*ALL)[name]
        assert monitored.items() <= pod["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


@needs_helm
def test_the_lease_goes_with_the_release_and_its_content_is_the_controllers() -> None:
    assert "spec" not in find("Lease", "torpor-controller")


@needs_helm
def test_only_what_belongs_to_a_volume_outlives_the_release() -> None:
    kept = {
        (item["kind"], item["metadata"]["name"])
        for item in rendered(*ALL)
        if "helm.sh/resource-policy" in item["metadata"].get("annotations", {})
    }
    assert kept == {("Secret", "torpor-ledger")}


# Values


def leaves(values: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield each value that the schema does not type, and each of the schema that is not there."""
    properties = schema["properties"]
    yield from (f"{path}{name}: not in the schema" for name in values.keys() - properties.keys())
    for name, part in properties.items():
        kind = resolved(part)
        if name not in values:
            if (path, name) not in OPTIONAL:
                yield f"{path}{name}: not in values.yaml"
        elif "properties" in kind:
            if kind.get("additionalProperties") is not False:
                yield f"{path}{name}: takes any name"
            yield from leaves(values[name], kind, f"{path}{name}.")
        elif not {"type", "enum"} & kind.keys():
            yield f"{path}{name}: has no type"


OPTIONAL = {
    ("", "global"),
    *((f"{role}.resources.", "claims") for role in ("controller", "gateway", "workflows")),
    *((f"{role}.resources.", "claims") for role in ("postgresql", "events", "nats", "dashboard")),
}
"""Helm itself gives `global`; a claim for devices is in no default."""


def resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found: Mapping[str, Any] = SCHEMA["definitions"][part["$ref"].rpartition("/")[2]]
    return found


def test_every_value_has_a_type_and_every_type_a_value() -> None:
    assert list(leaves(VALUES, SCHEMA)) == []


def test_a_value_without_a_type_would_be_noticed() -> None:
    wrong = list(leaves({**VALUES, "metrics": {**VALUES["metrics"], "port": 1}}, SCHEMA))
    assert wrong == ["metrics.port: not in the schema"]


@needs_helm
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gateway.replicas=17", "gateway.replicas"),
        ("gateway.replicas=two", "gateway.replicas"),
        ("gateway.service.type=Ingress", "gateway.service.type"),
        ("gateway.resources.limits.memory=much", "gateway.resources.limits.memory"),
        ("gateway.resources.limit.memory=1Gi", "gateway.resources"),
        ("controller.env[0].nam=A", "controller.env.0"),
        ("controller.workers=0", "controller.workers"),
        ("image.pullPolicy=Sometimes", "image.pullPolicy"),
        ("image.pullSecrets[0]=name", "image.pullSecrets.0"),
        ("logLevel=TRACE", "logLevel"),
        ("events.nats.url=http://nats:4222", "events.nats.url"),
        ("nats.syncInterval=never", "nats.syncInterval"),
        ("metrics.podMonitor.interval=fast", "metrics.podMonitor.interval"),
        ("metrics.prometheusRule.runbooks=docs", "metrics.prometheusRule.runbooks"),
        ("tracing.otlpEndpoint=collector:4317", "tracing.otlpEndpoint"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(given: str, said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered("--set", given)
    assert said in refused.value.stderr.replace("/", ".")


# helm test


def questions() -> str:
    [container] = pods(*ALL)["test"]["spec"]["containers"]
    [variable] = container["env"]
    return str(variable["value"])


@needs_helm
def test_the_test_pod_is_a_hook_that_asks_every_role_at_a_port_of_its_service() -> None:
    pod = find("Pod", "torpor-test", *ALL)
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    asked = dict(item.split("=", 1) for item in questions().split())
    assert asked.keys() == {"gateway", "controller", "engine", "events", "dashboard"}
    for name, url in asked.items():
        port = int(url.partition("://")[2].partition(":")[2].partition("/")[0])
        service = find("Service", f"torpor-{name}", *ALL)["spec"]
        assert port in {item["port"] for item in service["ports"]}
        assert service["selector"][COMPONENT] == name


def asked(*urls: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the test pod against these addresses, and no API server."""
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        environment = {
            **os.environ,
            "TORPOR_QUESTIONS": " ".join(urls),
            "TORPOR_WITHIN_SECONDS": "0",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(closed.getsockname()[1]),
        }
        return subprocess.run(
            [sys.executable, CHART / "files" / "installed.py"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


async def test_the_test_says_what_is_wrong_and_fails() -> None:
    async def gateway(_: web.Request) -> web.Response:
        return web.json_response({"code": "unknown-function"}, status=404)

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="leader: ok\n")

    async def sick(_: web.Request) -> web.Response:
        return web.Response(text="ledger: away\n", status=503)

    app = web.Application()
    app.add_routes([web.get("/", gateway), web.get("/ready", ready), web.get("/sick", sick)])
    async with TestServer(app) as server:
        base = str(server.make_url("/"))
        done = await asyncio.to_thread(
            asked, f"gateway={base}", f"controller={base}ready", f"engine={base}sick"
        )
    assert done.stdout.splitlines()[1:] == [
        "gateway: ok",
        "controller: ok",
        "engine: 503: ledger: away",
    ]
    assert done.stdout.startswith("kinds: [Errno")
    assert done.returncode == 1


async def test_a_server_that_is_no_gateway_is_told_apart() -> None:
    async def other(_: web.Request) -> web.Response:
        return web.Response(text="welcome")

    app = web.Application()
    app.add_routes([web.get("/", other)])
    async with TestServer(app) as server:
        done = await asyncio.to_thread(asked, f"gateway={server.make_url('/')}")
    assert "gateway: 200: welcome" in done.stdout
