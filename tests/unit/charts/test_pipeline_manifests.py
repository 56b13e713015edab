"""What `kubectl apply -k examples/video-pipeline` makes is whole: what is named is there.

The cluster's tests apply it; here is what an API server takes without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from tests.unit.charts.test_charts import ROOT, needs_helm, rendered

FOLDER = ROOT / "examples" / "video-pipeline"
KUSTOMIZATION: Mapping[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VALUES = ("--values", str(FOLDER / "cluster" / "values.yaml"))
GENERATED = {item["name"] for item in KUSTOMIZATION["configMapGenerator"]}


@cache
def objects() -> tuple[dict[str, Any], ...]:
    """Every object that is applied, but for what is generated."""
    return tuple(
        item
        for path in KUSTOMIZATION["resources"]
        for item in yaml.safe_load_all((FOLDER / path).read_text())
        if item
    )


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in objects() if item["kind"] == kind}


def pods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in objects():
        template = item.get("spec", {}).get("template")
        if template:
            yield item["metadata"]["name"], template["spec"]


def references(found: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield what stands below a key such as `secretKeyRef`, at any depth."""
    if isinstance(found, list):
        for item in found:
            yield from references(item, kind)
    elif isinstance(found, dict):
        if isinstance(found.get(kind), dict):
            yield found[kind]
        for item in found.values():
            yield from references(item, kind)


def test_no_file_of_the_folder_is_left_out() -> None:
    other = {"kustomization.yaml", "cluster/values.yaml"}
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")} - other
    assert files == set(KUSTOMIZATION["resources"])
    [code] = KUSTOMIZATION["configMapGenerator"]
    there = {f"{code['name']}/{path.name}" for path in (FOLDER / code["name"]).glob("*.py")}
    assert there == set(code["files"])


def test_what_is_referred_to_is_there() -> None:
    secrets, maps = named("Secret"), named("ConfigMap")
    keys = list(references(list(objects()), "secretKeyRef"))
    assert keys
    for reference in keys:
        assert reference["key"] in secrets[reference["name"]]["stringData"], reference
    for reference in references(list(objects()), "secretRef"):
        assert reference["name"] in secrets
    for reference in references(list(objects()), "configMapRef"):
        assert reference["name"] in maps
    for function in named("Function").values():
        code = function["spec"].get("code", {}).get("configMap")
        assert code is None or code in maps.keys() | GENERATED, function


def test_the_servers_are_those_that_the_secrets_name() -> None:
    database = named("Secret")["media-catalog"]["stringData"]
    login, _, place = database["dsn"].removeprefix("postgresql://").partition("@")
    assert login == f"media:{database['password']}"
    storage = named("Secret")["media-storage"]["stringData"]
    for address in (place.partition("/")[0], storage["AWS_ENDPOINT_URL"].removeprefix("http://")):
        host, _, port = address.partition(":")
        service = named("Service")[host.partition(".")[0]]["spec"]
        assert int(port) in {item["port"] for item in service["ports"]}
    # The second part is the namespace, which the kustomization puts in.
    targets = {
        (target["select"]["name"], path): target["options"]
        for target in KUSTOMIZATION["replacements"][0]["targets"]
        for path in target["fieldPaths"]
    }
    for (name, path), options in targets.items():
        value = named("Secret")[name]["stringData"][path.removeprefix("stringData.")]
        assert value.split(options["delimiter"])[options["index"]] == "default"


def test_looking_into_the_bucket_takes_the_buckets_keys() -> None:
    storage = [
        trigger["spec"]["source"]["storage"]
        for trigger in named("Trigger").values()
        if "storage" in trigger["spec"]["source"]
    ]
    assert storage
    assert {source["secret"] for source in storage} == {"media-storage"}


def test_pods_meet_the_restricted_standard() -> None:
    found = dict(pods())
    assert len(found) == 3
    for name, spec in found.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "memory" in container["resources"]["limits"], name


@needs_helm
def test_the_charts_values_have_the_roles_and_runtimes_that_it_needs() -> None:
    deployments = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]
        for item in rendered(*VALUES)
        if item["kind"] == "Deployment"
    }
    assert {"torpor-engine", "torpor-events", "torpor-dashboard"} <= deployments.keys()
    controller = {
        item["name"]: item.get("value") for item in deployments["torpor-controller"]["env"]
    }
    installed = {item.partition("=")[0] for item in controller["TORPOR_RUNTIME_IMAGES"].split(",")}
    specs = [item["spec"] for item in named("Function").values()]
    assert {spec["runtime"] for spec in specs if "runtime" in spec} <= installed


@needs_helm
def test_the_charts_values_let_its_secrets_be_read_and_no_others() -> None:
    roles = [
        item["metadata"].get("namespace")
        for item in rendered(*VALUES)
        if item["metadata"]["name"] == "torpor-events-secrets" and item["kind"].endswith("Role")
    ]
    assert roles == [KUSTOMIZATION["namespace"]]
