"""What one invocation of a Job Function becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.functions.builders import INLINE, KEY, SETTINGS, function
from torpor.functions.runs.devices import device_among
from torpor.functions.runs.job import Device, run_job
from torpor.functions.runs.seen import run_job_seen
from torpor.functions.runs.spans import run_span, traceparent_of
from torpor.functions.runtime_container import UnknownRuntime
from torpor.resources.names import LABEL_FUNCTION, LABEL_RUN, LABEL_RUN_OF
from torpor.resources.run import Run, RunRequest, RunState, run_id

REQUEST = RunRequest(KEY, '{"n": 1}', "order-7")
L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}


def made(device: Device | None = None, job: Any = None, **spec: Any) -> dict[str, Any]:
    """Return the Job of a run of a Function with these fields."""
    base = {} if "runtime" in spec else {"image": "x:1"}
    found = function({**base, "workload": "Job", "job": job or {}, **spec})
    assert found.job is not None
    return run_job(found, found.job, REQUEST, SETTINGS, device or Device())


def pod(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def container(job: dict[str, Any]) -> dict[str, Any]:
    [found] = pod(job)["containers"]
    return dict(found)


def environment(job: dict[str, Any]) -> dict[str, Any]:
    return {
        item["name"]: item.get("value", item.get("valueFrom")) for item in container(job)["env"]
    }


def test_a_failed_pod_is_judged_in_this_order() -> None:
    rules = made()["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailIndex"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    codes = [rule["onExitCodes"]["values"] for rule in rules[1:]]
    assert codes == [[143], [64]], "137 is an out-of-memory kill as well, which must count"
    assert {rule["onExitCodes"]["containerName"] for rule in rules[1:]} == {"function"}


def test_a_job_is_indexed_bounded_and_goes_by_itself() -> None:
    job = {"parallelism": 2, "completions": 5, "timeoutSeconds": 60, "ttlSeconds": 90}
    spec = made(job={**job, "retries": {"perIndex": 1}})["spec"]
    assert (spec["completionMode"], spec["parallelism"], spec["completions"]) == ("Indexed", 2, 5)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (1, 0)
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (60, 90)
    assert spec["podReplacementPolicy"] == "Failed", "the only one that goes with the policy"
    assert "suspend" not in spec


def test_a_run_has_no_owner_and_its_pods_are_no_instances() -> None:
    job = made()
    meta, labels = job["metadata"], job["spec"]["template"]["metadata"]["labels"]
    assert "ownerReferences" not in meta
    assert (meta["labels"][LABEL_RUN], labels[LABEL_RUN]) == (meta["name"], meta["name"])
    assert labels[LABEL_RUN_OF] == KEY.name
    assert LABEL_FUNCTION not in labels


def test_the_name_follows_from_the_key_and_the_function() -> None:
    name = run_id(KEY, "uid-1", "order-7")
    assert made()["metadata"]["name"] == name
    others = {run_id(KEY, "uid-2", "order-7"), run_id(KEY, "uid-1", "order-8")}
    assert name not in others
    long = run_id(type(KEY)("shop", "a" * 52), "uid", "key")
    assert len(f"{long}-99999") <= 63, "it is a host name with the index behind it"


def test_input_and_output_are_files_that_need_no_token() -> None:
    job = made()
    assert job["spec"]["template"]["metadata"]["annotations"]["torpor.dev/run-input"] == '{"n": 1}'
    volume = pod(job)["volumes"][0]
    [item] = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['torpor.dev/run-input']"
    told = environment(job)
    assert told["TORPOR_INPUT"] == "/var/torpor/run/input"
    assert told["TORPOR_OUTPUT"] == container(job)["terminationMessagePath"]
    assert pod(job)["automountServiceAccountToken"] is False
    assert told["TORPOR_FAILURES"]["fieldRef"]["fieldPath"].endswith("job-index-failure-count']")


def test_a_volume_of_the_user_may_have_any_name() -> None:
    mine = {"name": "input", "mountPath": "/in", "emptyDir": {}}
    job = made(volumes=[mine])
    names = [volume["name"] for volume in pod(job)["volumes"]]
    assert len(set(names)) == 3


def test_an_image_writes_into_its_volumes_and_tmp_alone() -> None:
    job = made()
    assert container(job)["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"name": "tmp", "mountPath": "/tmp"} in container(job)["volumeMounts"]
    assert {"name": "tmp", "emptyDir": {}} in pod(job)["volumes"]


def test_pods_are_restricted_and_never_restarted_in_place() -> None:
    job = made()
    assert pod(job)["restartPolicy"] == "Never"
    assert pod(job)["securityContext"]["runAsNonRoot"] is True
    assert container(job)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "readinessProbe" not in container(job)


def test_a_lost_node_is_given_up_after_half_a_minute() -> None:
    spot = {"tolerations": [{"key": "spot", "operator": "Exists"}], "graceSeconds": 100}
    job = made(job={"spot": spot}, tolerations=[{"key": "mine", "operator": "Exists"}])
    keys = {item["key"]: item.get("tolerationSeconds") for item in pod(job)["tolerations"]}
    assert keys == {
        "mine": None,
        "spot": None,
        "node.kubernetes.io/not-ready": 30,
        "node.kubernetes.io/unreachable": 30,
    }
    assert pod(job)["terminationGracePeriodSeconds"] == 100
    assert environment(job)["TORPOR_GRACE_SECONDS"] == "100"


def test_gpus_are_asked_for_by_product_the_first_preferred() -> None:
    job = made(job={"gpu": {"count": 2, "products": ["NVIDIA-L4", "Tesla-T4"]}})
    assert container(job)["resources"]["limits"] == {"nvidia.com/gpu": 2}
    affinity = pod(job)["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["NVIDIA-L4", "Tesla-T4"]
    preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [item["weight"] for item in preferred] == [100, 50]
    assert preferred[0]["preference"]["matchExpressions"][0]["values"] == ["NVIDIA-L4"]
    assert environment(job)["NVIDIA_DRIVER_CAPABILITIES"] == "compute,video,utility"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(job)[
        "tolerations"
    ]


def test_a_slice_of_a_gpu_is_a_resource_of_its_own() -> None:
    job = made(job={"gpu": {"mig": "1g.10gb"}})
    assert container(job)["resources"]["limits"] == {"nvidia.com/mig-1g.10gb": 1}
    assert "affinity" not in pod(job)


def test_a_run_that_falls_back_asks_for_no_gpu_and_says_why() -> None:
    gpu = {"products": ["NVIDIA-L4"], "fallback": "cpu"}
    job = made(Device(has_gpu=False, reason="no node has NVIDIA-L4"), job={"gpu": gpu})
    assert "resources" not in container(job)
    assert "affinity" not in pod(job)
    assert "NVIDIA_DRIVER_CAPABILITIES" not in environment(job)
    assert job["metadata"]["annotations"]["torpor.dev/run-device"] == "no node has NVIDIA-L4"


@pytest.mark.parametrize(
    ("nodes", "has_gpu"),
    [
        ([], False),
        ([{"status": {"allocatable": {"cpu": "4"}}}], False),
        ([{"status": {"allocatable": {"nvidia.com/gpu": "1"}}}], True),
        (
            [{"spec": {"unschedulable": True}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}],
            False,
        ),
    ],
)
def test_it_falls_back_where_no_node_has_one(nodes: list[Any], has_gpu: bool) -> None:
    found = function({"image": "x", "workload": "Job", "job": {"gpu": {"fallback": "cpu"}}})
    assert found.job is not None
    assert found.job.gpu is not None
    device = device_among(nodes, found.job.gpu)
    assert device.has_gpu is has_gpu
    assert bool(device.reason) is not has_gpu


def test_kueue_starts_what_has_a_queue() -> None:
    job = made(job={"queue": "gpus"})
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]


def test_a_checkpoint_is_in_a_store_or_in_a_volume() -> None:
    stored = made(job={"checkpoint": {"store": "s3://bucket/work", "intervalSeconds": 5}})
    assert environment(stored)["TORPOR_CHECKPOINT"] == "s3://bucket/work"
    assert environment(stored)["TORPOR_CHECKPOINT_SECONDS"] == "5"
    claim = {"persistentVolumeClaim": {"claimName": "c"}}
    mounted = made(
        job={"checkpoint": {"volume": "work"}},
        volumes=[{"name": "work", "mountPath": "/work", **claim}],
    )
    assert environment(mounted)["TORPOR_CHECKPOINT"] == "file:///work"
    assert pod(mounted)["securityContext"]["fsGroup"] == 65532


def test_a_runtime_runs_its_handler_and_is_told_no_gateway() -> None:
    job = made(**INLINE)
    told = environment(job)
    assert container(job)["image"] == "torpor/runtime-python:1"
    assert (told["TORPOR_HANDLER"], told["TORPOR_COMPLETIONS"]) == ("main.handler", "1")
    assert not [name for name in told if "TOKEN" in name or "ANNOUNCE" in name]
    assert container(job)["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_runtime_that_is_not_installed_is_named() -> None:
    with pytest.raises(UnknownRuntime, match="ruby"):
        made(**{**INLINE, "runtime": "ruby"})


def test_the_program_is_below_the_span_of_its_run_which_is_below_its_callers() -> None:
    trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    given = f"00-{trace}-{caller}-01"
    found = function({"image": "x:1", "workload": "Job", "job": {}})
    assert found.job is not None
    request = replace(REQUEST, traceparent=given)
    job = run_job(found, found.job, request, SETTINGS, Device())
    seen = run_job_seen(
        {**job, "metadata": {**job["metadata"], "uid": "u", "resourceVersion": "1"}}
    )
    assert seen is not None
    run = Run(seen.id, KEY, RunState.FAILED, reason="Exited", attempt=3, pod_seconds=1.5)
    span = run_span(run, seen.trace, 10.0, 20.0)
    assert span is not None
    assert (span.trace_id, span.parent_span_id) == (trace, caller)
    assert environment(job)["TRACEPARENT"] == f"00-{trace}-{span.span_id}-01"
    assert (span.name, span.error, span.start_seconds, span.end_seconds) == (
        f"run {KEY}",
        "Exited",
        10.0,
        20.0,
    )
    assert span.attributes == {
        "torpor.function": str(KEY),
        "torpor.run.id": seen.id,
        "torpor.run.outcome": "Failed",
        "torpor.run.attempts": 3,
        "torpor.run.pod_seconds": 1.5,
    }


def test_a_run_without_a_trace_begins_one_and_one_that_is_not_sampled_is_not_told() -> None:
    run = Run("r-1", KEY, RunState.SUCCEEDED)
    span = run_span(run, "", 1.0, 2.0)
    assert span is not None
    assert (span.parent_span_id, span.error) == (None, None)
    assert traceparent_of("r-1", "") == f"00-{span.trace_id}-{span.span_id}-01"
    assert run_span(run, f"00-{'a' * 32}-{'b' * 16}-00", 1.0, 2.0) is None
    assert traceparent_of("r-1", f"00-{'a' * 32}-{'b' * 16}-00").endswith("-00")


def test_a_run_is_told_where_spans_go() -> None:
    settings = replace(SETTINGS, function_otlp_endpoint="http://to:4318")
    found = function({"image": "x:1", "workload": "Job", "job": {}})
    assert found.job is not None
    job = run_job(found, found.job, REQUEST, settings, Device())
    assert environment(job)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://to:4318"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(made())
