"""What a Function becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.functions.builders import FROM_CONFIG_MAP, IMAGE, INLINE, SETTINGS, function
from torpor.functions.code import CodeState, state_in, state_of
from torpor.functions.desired import (
    Children,
    children,
    first_replicas,
    newborn,
    replicas_claim,
)
from torpor.functions.runtime_container import UnknownRuntime
from torpor.resources.names import ANNOTATION_CODE_VERSION, ANNOTATION_DESIRED
from torpor.resources.tokens import InstanceTokens


def made(spec: dict[str, Any], code_version: str | None = None, token: str = "t0ken") -> Children:
    code = CodeState(code_version, "uid.1", is_small=True) if code_version else None
    return children(function(spec), SETTINGS, InstanceTokens(token, "d3tail"), code)


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made(spec).deployment["spec"]["template"]["spec"]
    return found


def container(spec: dict[str, Any], name: str = "function") -> dict[str, Any]:
    return next(item for item in pod(spec)["containers"] if item["name"] == name)


def environment(found: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in found["env"] if "value" in item}


def test_the_deployment_never_says_how_many_replicas() -> None:
    for spec in (IMAGE, INLINE, {**IMAGE, "scaling": {"minReplicas": 3}}):
        assert "replicas" not in made(spec).deployment["spec"]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [({}, 0), ({"initialReplicas": 2}, 2), ({"minReplicas": 3, "initialReplicas": 1}, 3)],
)
def test_replicas_are_only_in_the_newborn_deployment(
    scaling: dict[str, int], expected: int
) -> None:
    spec = {**IMAGE, "scaling": scaling}
    replicas = first_replicas(function(spec))
    born = newborn(made(spec).deployment, replicas)
    assert born["spec"]["replicas"] == expected
    assert born["metadata"] == made(spec).deployment["metadata"]


def test_the_claim_says_nothing_but_the_replicas() -> None:
    claim = replicas_claim(made(IMAGE).deployment, 2)
    assert claim["spec"] == {"replicas": 2}
    assert "labels" not in claim["metadata"]
    assert "spec" not in replicas_claim(made(IMAGE).deployment, None)


def test_every_child_belongs_to_its_function_and_carries_its_own_hash() -> None:
    found = made(IMAGE)
    for child in (found.network_policy, found.service, found.deployment):
        [owner] = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "uid-1",
            True,
            True,
        )
        assert child["metadata"]["labels"]["torpor.dev/function"] == "thumbnail"
        assert len(child["metadata"]["annotations"][ANNOTATION_DESIRED]) == 32


def test_the_hash_follows_the_content_and_nothing_else() -> None:
    def digest(found: Children) -> str:
        return str(found.deployment["metadata"]["annotations"][ANNOTATION_DESIRED])

    assert digest(made(IMAGE)) == digest(made(dict(reversed(list(IMAGE.items())))))
    assert digest(made(IMAGE)) != digest(made({**IMAGE, "timeoutSeconds": 31}))
    assert digest(made(IMAGE)) == digest(made({**IMAGE, "scaling": {"maxReplicas": 7}}))


@pytest.mark.parametrize("spec", [IMAGE, INLINE, FROM_CONFIG_MAP])
def test_pods_meet_the_restricted_standard(spec: dict[str, Any]) -> None:
    found = pod(spec)
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for item in found["containers"]:
        assert item["securityContext"]["allowPrivilegeEscalation"] is False
        assert item["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {next(iter(set(v) - {"name"})) for v in found.get("volumes", [])} <= {
        "configMap",
        "emptyDir",
    }


def test_a_token_is_mounted_only_with_a_named_service_account() -> None:
    assert pod(IMAGE)["automountServiceAccountToken"] is False
    named = pod({**IMAGE, "serviceAccountName": "reader"})
    assert (named["automountServiceAccountToken"], named["serviceAccountName"]) == (True, "reader")


def test_images_keep_their_user_and_file_system_and_runtimes_get_ours() -> None:
    assert "runAsUser" not in pod(IMAGE)["securityContext"]
    assert "readOnlyRootFilesystem" not in container(IMAGE)["securityContext"]
    assert pod(INLINE)["securityContext"]["runAsUser"] == 65532
    assert "readOnlyRootFilesystem" not in container(INLINE)["securityContext"]


@pytest.mark.parametrize("spec", [IMAGE, INLINE])
def test_a_pod_has_no_volume_unless_it_is_asked_for_since_its_start_waits_for_each(
    spec: dict[str, Any],
) -> None:
    assert "volumes" not in pod(spec)
    assert "volumeMounts" not in container(spec)


def test_a_pod_outlives_its_longest_request() -> None:
    found = pod({**IMAGE, "timeoutSeconds": 300})
    assert found["terminationGracePeriodSeconds"] == 305
    assert container(IMAGE)["lifecycle"] == {"preStop": {"sleep": {"seconds": 2}}}
    assert container(IMAGE)["readinessProbe"]["periodSeconds"] == 1


def test_a_roll_out_never_takes_an_instance_away_first() -> None:
    strategy = made(IMAGE).deployment["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (IMAGE, ["function", "announcer"]),
        ({**IMAGE, "startup": {"announcer": False}}, ["function"]),
        (INLINE, ["function"]),
    ],
)
def test_who_announces(spec: dict[str, Any], names: list[str]) -> None:
    assert [item["name"] for item in pod(spec)["containers"]] == names


def test_the_environment_tells_where_and_how_to_announce() -> None:
    for name in ("function", "announcer"):
        found = environment(container({**IMAGE, "port": 9000}, name))
        assert found["PORT"] == "9000"
        assert found["TORPOR_FUNCTION"] == "shop/thumbnail"
        assert found["TORPOR_ANNOUNCE_TOKEN"] == "t0ken"
        assert found["TORPOR_ANNOUNCE_URL"] == (
            "http://torpor-gateway-internal.torpor-system.svc.cluster.local.:8090/v1/announce"
        )


def test_only_the_function_is_given_the_token_that_asks_for_the_reason_of_a_failure() -> None:
    assert environment(container(IMAGE))["TORPOR_DETAIL_TOKEN"] == "d3tail"
    assert environment(container(INLINE))["TORPOR_DETAIL_TOKEN"] == "d3tail"
    assert "TORPOR_DETAIL_TOKEN" not in environment(container(IMAGE, "announcer"))


def test_a_runtime_knows_how_many_may_run_at_once_and_an_image_is_not_rolled_for_it() -> None:
    scaling = {"scaling": {"concurrency": {"target": 1, "limit": 3}}}
    assert environment(container({**INLINE, **scaling}))["TORPOR_CONCURRENCY_LIMIT"] == "3"
    assert "TORPOR_CONCURRENCY_LIMIT" not in environment(container({**IMAGE, **scaling}))


def test_the_users_environment_comes_after_ours_and_can_refer_to_it() -> None:
    spec = {**IMAGE, "env": [{"name": "SELF", "value": "http://localhost:$(PORT)"}]}
    assert [item["name"] for item in container(spec)["env"]][-1] == "SELF"


def test_inline_code_survives_the_kubelets_expansion_of_dollars() -> None:
    code = environment(container(INLINE))["TORPOR_CODE"]
    assert code.replace("$$", "$") == INLINE["code"]["inline"]
    assert environment(container(INLINE))["TORPOR_HANDLER"] == "main.handler"


def test_code_in_a_config_map_is_given_as_variables_and_its_version_rolls_the_pods() -> None:
    first, second = made(FROM_CONFIG_MAP, "7"), made(FROM_CONFIG_MAP, "8")
    template = first.deployment["spec"]["template"]
    assert template["metadata"]["annotations"][ANNOTATION_CODE_VERSION] == "7"
    assert template != second.deployment["spec"]["template"]
    [running] = template["spec"]["containers"]
    name = FROM_CONFIG_MAP["code"]["configMap"]
    assert running["envFrom"] == [{"prefix": "TORPOR_FILE_", "configMapRef": {"name": name}}]
    assert "volumes" not in template["spec"]
    assert "TORPOR_CODE" not in environment(running)
    assert state_in(first.deployment) == CodeState("7", "uid.1", is_small=True)


def test_code_that_is_too_large_for_variables_is_mounted() -> None:
    large = children(
        function(FROM_CONFIG_MAP),
        SETTINGS,
        InstanceTokens("t0ken", "d3tail"),
        CodeState("7", "uid.1", is_small=False),
    ).deployment
    spec = large["spec"]["template"]["spec"]
    assert [item["mountPath"] for item in spec["containers"][0]["volumeMounts"]] == [
        "/var/torpor/code"
    ]
    assert "envFrom" not in spec["containers"][0]
    assert state_in(large) == CodeState("7", "uid.1", is_small=False)


@pytest.mark.parametrize(
    ("config_map", "is_small"),
    [
        ({"data": {"main.py": "x = 1", "data.json": "{}"}}, True),
        ({}, True),
        ({"data": {"main.py": "x" * 96 * 1024}}, False),
        ({"data": {"main.py": "é" * 60 * 1024}}, False),
        ({"data": {f"{number}.py": "x" * 90 * 1024 for number in range(2)}}, False),
        ({"data": {"main.py": "x"}, "binaryData": {"picture": "AAEC"}}, False),
        ({"data": {"main.py": "x = '\0'"}}, False),
    ],
)
def test_small_texts_go_into_an_environment(config_map: dict[str, Any], is_small: bool) -> None:
    assert state_of(config_map, "uid.1").is_small is is_small


ARCHIVE: dict[str, Any] = {
    **INLINE,
    "code": {"archive": {"url": "https://host/code.zip?a=$b", "sha256": "0123456789abcdef" * 4}},
}


def test_an_archive_is_fetched_by_the_runtime_into_a_folder_of_its_own() -> None:
    found = environment(container(ARCHIVE))
    assert found["TORPOR_ARCHIVE_URL"].replace("$$", "$") == ARCHIVE["code"]["archive"]["url"]
    assert found["TORPOR_ARCHIVE_SHA256"] == "0123456789abcdef" * 4
    assert found["TORPOR_CODE_DIR"] == "/var/torpor/code/0123456789abcdef"
    assert "volumes" not in pod(ARCHIVE)
    assert "initContainers" not in pod(ARCHIVE)


def test_pythons_runtime_fetches_the_archive_first_for_one_that_does_not() -> None:
    found = pod({**ARCHIVE, "runtime": "nodejs"})
    [fetcher] = found["initContainers"]
    assert {"name": "code", "emptyDir": {"sizeLimit": "1Gi"}} in found["volumes"]
    for each in (fetcher, found["containers"][0]):
        assert {"name": "code", "mountPath": "/var/torpor/code"} in each["volumeMounts"]
    assert fetcher["image"] == SETTINGS.runtime_images["python3"]
    assert fetcher["command"][-1] == "torpor_runtime.archive"
    assert fetcher["securityContext"]["readOnlyRootFilesystem"] is True
    assert environment(fetcher)["TORPOR_ARCHIVE_SHA256"] == "0123456789abcdef" * 4
    assert found["containers"][0]["workingDir"] == environment(fetcher)["TORPOR_CODE_DIR"]


@pytest.mark.parametrize("payload", ["raw", "cloudevents", "lambda"])
def test_a_runtime_is_told_the_payload(payload: str) -> None:
    assert environment(container({**INLINE, "payload": payload}))["TORPOR_PAYLOAD"] == payload


def test_lambdas_context_is_told_the_memory_unless_the_user_tells_it() -> None:
    def told(spec: dict[str, Any]) -> list[dict[str, Any]]:
        name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
        return [item for item in container(spec)["env"] if item["name"] == name]

    [ours] = told({**INLINE, "payload": "lambda"})
    assert ours["valueFrom"]["resourceFieldRef"]["resource"] == "limits.memory"
    assert told(INLINE) == []
    own = {"name": "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "value": "64"}
    assert told({**INLINE, "payload": "lambda", "env": [own]}) == [own]


def test_volumes_are_mounted_beside_a_runtimes_own() -> None:
    volumes = [
        {"name": "cache", "mountPath": "/tmp", "emptyDir": {"medium": "Memory"}},
        {"name": "keys", "mountPath": "/keys", "secret": {"secretName": "k"}, "readOnly": True},
    ]
    found = pod({**INLINE, "volumes": volumes})
    assert found["volumes"] == [
        {"name": "cache", "emptyDir": {"medium": "Memory"}},
        {"name": "keys", "secret": {"secretName": "k"}},
    ]
    assert container({**INLINE, "volumes": volumes})["volumeMounts"] == [
        {"name": "cache", "mountPath": "/tmp"},
        {"name": "keys", "mountPath": "/keys", "readOnly": True},
    ]
    assert "fsGroup" not in found["securityContext"]


@pytest.mark.parametrize(("read_only", "group"), [(False, 65532), (True, None)])
def test_a_claim_can_be_written_by_a_user_that_is_not_root(
    read_only: bool, group: int | None
) -> None:
    claim = {"persistentVolumeClaim": {"claimName": "films"}}
    volume = {
        "name": "films",
        "mountPath": "/films",
        "subPath": "a",
        "readOnly": read_only,
        **claim,
    }
    spec = {**IMAGE, "volumes": [volume]}
    assert pod(spec)["volumes"] == [{"name": "films", **claim}]
    assert container(spec)["volumeMounts"][0]["subPath"] == "a"
    assert pod(spec)["securityContext"].get("fsGroup") == group


def test_a_gpu_is_a_limit_a_place_and_a_toleration() -> None:
    mine = {"key": "mine", "operator": "Exists"}
    spec = {
        **IMAGE,
        "gpu": {"count": 2, "products": ["NVIDIA-L4"]},
        "resources": {"limits": {"memory": "1Gi"}},
        "tolerations": [mine],
    }
    found = pod(spec)
    assert container(spec)["resources"]["limits"] == {"memory": "1Gi", "nvidia.com/gpu": 2}
    [term] = found["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchExpressions"] == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4"]}
    ]
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert found["tolerations"] == [mine, taint]
    assert "affinity" not in pod({**IMAGE, "gpu": {}})
    assert container({**IMAGE, "gpu": {}})["resources"] == {"limits": {"nvidia.com/gpu": 1}}


def test_an_image_is_probed_as_it_wishes_and_else_by_its_port() -> None:
    usual = container({**IMAGE, "port": 9000})
    assert usual["readinessProbe"] == {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
    assert "livenessProbe" not in usual
    wishes = {
        "port": 9000,
        "readinessProbe": {"httpGet": {"path": "/ready"}},
        "livenessProbe": {"tcpSocket": {}, "periodSeconds": 20, "failureThreshold": 5},
    }
    found = container({**IMAGE, **wishes})
    asks = {"path": "/ready", "port": 9000}
    assert found["readinessProbe"] == {"httpGet": asks, "periodSeconds": 1}
    assert found["livenessProbe"] == {
        "tcpSocket": {"port": 9000},
        "periodSeconds": 20,
        "failureThreshold": 5,
    }


def test_pods_prefer_to_be_apart() -> None:
    found = pod(IMAGE)["topologySpreadConstraints"]
    keys = [item["topologyKey"] for item in found]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for item in found:
        assert (item["maxSkew"], item["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
        assert item["labelSelector"]["matchLabels"] == {
            "torpor.dev/function": "thumbnail",
            "app.kubernetes.io/managed-by": "torpor",
        }


def test_an_unknown_runtime_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        UnknownRuntime, match=r"'cobol' is not installed; installed: nodejs, python3"
    ):
        made({**INLINE, "runtime": "cobol"})


def test_the_service_leads_to_the_gateway() -> None:
    assert made(IMAGE).service["spec"] == {
        "type": "ExternalName",
        "externalName": "torpor-gateway.torpor-system.svc.cluster.local",
    }


def test_only_gateways_may_reach_the_pods() -> None:
    spec = made({**IMAGE, "port": 9000}).network_policy["spec"]
    [rule] = spec["ingress"]
    [peer] = rule["from"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 9000}]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "torpor-system"
    }
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert spec["podSelector"]["matchLabels"]["torpor.dev/function"] == "thumbnail"


def test_a_function_is_told_where_spans_go_unless_it_says_so_itself() -> None:
    settings = replace(SETTINGS, function_otlp_endpoint="http://to:4318")

    def names(spec: dict[str, Any]) -> dict[str, str]:
        found = children(function(spec), settings, InstanceTokens("t", "d"), None).deployment
        [container] = [
            each
            for each in found["spec"]["template"]["spec"]["containers"]
            if each["name"] == "function"
        ]
        told = [item for item in container["env"] if item["name"].startswith("OTEL_")]
        assert len({item["name"] for item in told}) == len(told)
        return {item["name"]: item["value"] for item in told}

    ours = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://to:4318", "OTEL_SERVICE_NAME": "shop/thumbnail"}
    assert names(IMAGE) == ours
    own = {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://mine"}
    assert names({**IMAGE, "env": [own]}) == {**ours, own["name"]: own["value"]}
