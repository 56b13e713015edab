"""Objects in; writes, status and events out, also when the API fails in between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.functions.builders import (
    FROM_CONFIG_MAP,
    IMAGE,
    INLINE,
    KEY,
    function_object,
)
from tests.unit.functions.small_cluster import SmallCluster
from torpor.errors import ApiNamespaceEnding, ApiNotFound, ApiUnavailable
from torpor.functions.desired import ANNOTATION_REPLICAS_OWNER
from torpor.functions.reconcile import FOREIGN_SECONDS, LEAVING_SECONDS
from torpor.functions.status import Seen
from torpor.platform.base import Instance, Trouble

FIRST = [
    ("NetworkPolicy", "controller"),
    ("Service", "controller"),
    ("Deployment", "controller"),
    ("Function", "status"),
]
FIRST_CHANGE = [("Deployment", "autoscaler"), ("Deployment", "controller")]
"""The replicas get an owner before an apply leaves them out."""
AWAY = ApiUnavailable(503, "Unavailable", "away")


def pod(*, ready: bool = False, trouble: Trouble | None = None) -> Instance:
    seen = {"started": 1.0}
    return Instance(KEY, "pod-1", "pod-uid", "10.0.0.1", 8080, ready, False, trouble, seen)


def foreign(kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": KEY.name, "namespace": KEY.namespace},
        "spec": {"type": "ClusterIP", "selector": {"app": "mine"}, "podSelector": {"a": "b"}},
    }


async def settled(spec: dict[str, Any] = IMAGE) -> SmallCluster:
    """Return a cluster in which one Function was made and everything is shown."""
    cluster = SmallCluster(config_maps={"thumbnail-code": "1"})
    cluster.put(function_object(spec))
    await cluster.reconciler().reconcile(KEY)
    cluster.show()
    cluster.writes.clear()
    cluster.events.clear()
    return cluster


@pytest.mark.parametrize("spec", [IMAGE, INLINE, FROM_CONFIG_MAP])
async def test_a_new_function_gets_its_children_and_is_ready_at_zero(spec: dict[str, Any]) -> None:
    cluster = SmallCluster(config_maps={"thumbnail-code": "1"})
    cluster.put(function_object(spec))
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == FIRST
    assert cluster.ready() == ("True", "AtZero")
    assert cluster.objects["Deployment", KEY.name]["spec"]["replicas"] == 0
    assert cluster.events == []  # its status says it, at one write less


async def test_nothing_changed_nothing_written() -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    for _ in range(3):
        cluster.seconds += 600
        assert await reconciler.reconcile(KEY) is None
    assert cluster.writes == []
    assert cluster.events == []


async def test_a_late_watch_causes_no_second_write() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    assert await reconciler.reconcile(KEY) == pytest.approx(2.0)
    assert await reconciler.reconcile(KEY) == pytest.approx(2.0)
    assert cluster.writes == FIRST


async def test_after_two_seconds_the_watch_is_believed() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    # Made and deleted between two looks at the watch, which so shows what it showed before.
    del cluster.objects["Deployment", KEY.name]
    cluster.writes.clear()
    cluster.seconds += 1.9
    await reconciler.reconcile(KEY)
    assert cluster.writes == []
    cluster.seconds += 0.2
    await reconciler.reconcile(KEY)
    assert ("Deployment", "controller") in cluster.writes


async def test_what_the_watch_shows_after_a_write_is_believed_at_once() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    changed = cluster.objects["Deployment", KEY.name]
    change_image(changed)
    cluster.put(changed)
    cluster.writes.clear()
    await reconciler.reconcile(KEY)
    assert cluster.writes == FIRST_CHANGE


async def test_a_deployment_that_the_watch_has_yet_to_show_keeps_its_replicas() -> None:
    cluster = await settled()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 5
    del cluster.shown["Deployment", KEY.name]
    await cluster.reconciler().reconcile(KEY)
    assert cluster.objects["Deployment", KEY.name]["spec"]["replicas"] == 5
    assert cluster.status()["replicas"]["desired"] == 5


async def test_a_changed_spec_leaves_the_replicas_to_who_scales() -> None:
    cluster = await settled()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 7
    cluster.put(function_object({**IMAGE, "timeoutSeconds": 60}, generation=2))
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes[:2] == FIRST_CHANGE
    assert cluster.objects["Deployment", KEY.name]["spec"]["replicas"] == 7
    assert cluster.status()["replicas"]["desired"] == 7
    assert cluster.status()["observedGeneration"] == 2


async def test_the_replicas_are_claimed_once_before_the_first_change_is_applied() -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    for generation, seconds in enumerate((60, 70), start=2):
        spec = {**IMAGE, "timeoutSeconds": seconds}
        cluster.put(function_object(spec, generation=generation))
        await reconciler.reconcile(KEY)
        cluster.show()
    annotations = cluster.objects["Deployment", KEY.name]["metadata"]["annotations"]
    assert annotations[ANNOTATION_REPLICAS_OWNER] == "torpor-autoscaler"
    assert [how for kind, how in cluster.writes if kind == "Deployment"] == [
        "autoscaler",
        "controller",
        "controller",
    ]


async def test_replicas_that_somebody_changed_meanwhile_are_claimed_only_in_name() -> None:
    cluster = await settled()
    cluster.put(function_object({**IMAGE, "timeoutSeconds": 60}, generation=2))
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 4
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes[:2] == [("Deployment", "refused"), ("Deployment", "autoscaler")]
    assert cluster.objects["Deployment", KEY.name]["spec"]["replicas"] == 4


def change_image(obj: dict[str, Any]) -> None:
    obj["spec"]["template"]["spec"]["containers"][1]["image"] = "other:1"


def drop_owner(obj: dict[str, Any]) -> None:
    obj["metadata"]["ownerReferences"] = []


def drop_hash(obj: dict[str, Any]) -> None:
    obj["metadata"]["annotations"].pop("torpor.dev/desired-hash")


@pytest.mark.parametrize("harm", [change_image, drop_owner, drop_hash])
async def test_what_somebody_changed_is_put_right(harm: Callable[[dict[str, Any]], None]) -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    before = copy.deepcopy(cluster.objects["Deployment", KEY.name])
    harm(cluster.objects["Deployment", KEY.name])
    cluster.show()
    await reconciler.reconcile(KEY)
    assert cluster.writes == FIRST_CHANGE
    after = cluster.objects["Deployment", KEY.name]
    assert (after["spec"], after["metadata"]["labels"]) == (
        before["spec"],
        before["metadata"]["labels"],
    )


async def test_a_scaled_deployment_is_not_a_changed_one() -> None:
    cluster = await settled()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 3
    cluster.show()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == [("Function", "status")]


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Service", "Deployment"])
async def test_a_deleted_child_is_made_again(kind: str) -> None:
    cluster = await settled()
    cluster.remove(kind)
    await cluster.reconciler().reconcile(KEY)
    assert (kind, "controller") in cluster.writes
    assert (kind, KEY.name) in cluster.objects


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Service", "Deployment"])
async def test_somebody_elses_object_is_left_alone_and_named(kind: str) -> None:
    cluster = SmallCluster()
    cluster.put(foreign(kind))
    cluster.put(function_object())
    assert await cluster.reconciler().reconcile(KEY) == FOREIGN_SECONDS
    assert cluster.ready() == ("False", "NotOwned")
    assert "labels" not in cluster.objects[kind, KEY.name]["metadata"]
    assert cluster.events == [("Warning", "NotOwned")]
    assert cluster.status()["replicas"] == {"desired": 0, "ready": 0, "starting": 0}


async def test_a_child_of_an_earlier_function_of_the_same_name_is_waited_for() -> None:
    cluster = await settled()
    cluster.put(function_object(uid="uid-2"))
    assert await cluster.reconciler().reconcile(KEY) == LEAVING_SECONDS
    assert [kind for kind, _ in cluster.writes] == ["Function"] * len(cluster.writes)
    for kind in ("NetworkPolicy", "Service", "Deployment"):
        cluster.remove(kind)
    cluster.writes.clear()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == FIRST[:3]


async def test_a_missing_config_map_is_said_and_its_arrival_mends_it() -> None:
    cluster = SmallCluster()
    cluster.put(function_object(FROM_CONFIG_MAP))
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("False", "ConfigMapMissing")
    assert cluster.events == [("Warning", "ConfigMapMissing")]
    cluster.config_maps["thumbnail-code"] = "1"
    cluster.show()
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("True", "AtZero")
    assert cluster.events[-1] == ("Normal", "Ready")


async def test_changed_code_rolls_the_deployment_and_nothing_else() -> None:
    cluster = await settled(FROM_CONFIG_MAP)
    cluster.config_maps["thumbnail-code"] = "2"
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == FIRST_CHANGE


def template(cluster: SmallCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.objects["Deployment", KEY.name]["spec"]["template"]
    return found


async def test_a_label_on_the_code_replaces_no_pods_and_other_code_does() -> None:
    cluster = await settled(FROM_CONFIG_MAP)
    before, cluster.code = copy.deepcopy(template(cluster)), "1"
    cluster.config_maps["thumbnail-code"] = "2"
    await cluster.reconciler().reconcile(KEY)
    assert template(cluster) == before
    cluster.show()
    cluster.config_maps["thumbnail-code"], cluster.code = "3", "other"
    await cluster.reconciler().reconcile(KEY)
    assert template(cluster) != before


async def test_code_is_read_once_however_often_it_is_looked_at() -> None:
    cluster = await settled(FROM_CONFIG_MAP)
    assert cluster.reads == ["thumbnail-code"]
    for _ in range(3):
        await cluster.reconciler().reconcile(KEY)  # also by another leader
    assert cluster.reads == ["thumbnail-code"]
    assert cluster.writes == []


async def test_a_deployment_that_does_not_say_where_its_code_is_has_it_read_again() -> None:
    cluster = await settled(FROM_CONFIG_MAP)
    made = cluster.objects["Deployment", KEY.name]
    del made["metadata"]["annotations"]["torpor.dev/code-place"]  # as before there were two
    made["spec"]["template"]["spec"]["containers"][0].pop("envFrom")
    cluster.show()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.reads == ["thumbnail-code"] * 2
    assert "envFrom" in template(cluster)["spec"]["containers"][0]


async def test_code_that_outgrows_an_environment_gets_a_volume() -> None:
    cluster = await settled(FROM_CONFIG_MAP)
    cluster.config_maps["thumbnail-code"], cluster.code = "2", "x" * 200_000
    await cluster.reconciler().reconcile(KEY)
    spec = template(cluster)["spec"]
    assert "envFrom" not in spec["containers"][0]
    assert spec["volumes"] == [{"name": "code", "configMap": {"name": "thumbnail-code"}}]


async def test_an_unknown_runtime_blocks_without_children() -> None:
    cluster = SmallCluster()
    cluster.put(function_object({**INLINE, "runtime": "cobol"}))
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == [("Function", "status")]
    assert cluster.ready() == ("False", "UnknownRuntime")


async def test_an_object_that_no_schema_checked_is_refused_in_its_status() -> None:
    cluster = SmallCluster()
    cluster.put(function_object({"port": "eighty"}))
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    cluster.show()
    await reconciler.reconcile(KEY)
    assert cluster.writes == [("Function", "status")]
    assert cluster.ready() == ("False", "InvalidSpec")


@pytest.mark.parametrize("fails_at", range(len(FIRST)))
async def test_whatever_fails_the_next_visit_completes_it(fails_at: int) -> None:
    cluster = SmallCluster()
    cluster.put(function_object({**IMAGE, "scaling": {"initialReplicas": 2}}))
    cluster.failures.extend([*[None] * fails_at, AWAY])
    reconciler = cluster.reconciler()
    with pytest.raises(ApiUnavailable):
        await reconciler.reconcile(KEY)
    cluster.show()
    await reconciler.reconcile(KEY)
    assert cluster.objects["Deployment", KEY.name]["spec"]["replicas"] == 2
    assert cluster.ready() == ("True", "Waking")
    cluster.show()
    cluster.writes.clear()
    await reconciler.reconcile(KEY)
    assert cluster.writes == []


async def test_a_broken_image_is_told_once_and_its_recovery_too() -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 1
    cluster.pods = [pod(trouble=Trouble("ImagePullBackOff", "no such image", final=True))]
    cluster.show()
    for _ in range(3):
        await reconciler.reconcile(KEY)
        cluster.show()
    assert cluster.ready() == ("False", "ImagePullBackOff")
    assert cluster.writes == [("Function", "status")]
    cluster.pods = [pod(ready=True)]
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("True", "Serving")
    assert cluster.events == [("Warning", "ImagePullBackOff"), ("Normal", "Ready")]


LOOPS = {
    "pulling": (
        Trouble("ImagePullBackOff", "registry/app:1: not found", final=True),
        Trouble("ImagePullBackOff", 'Back-off pulling image "registry/app:1"', final=True),
    ),
    "crashing": (
        None,
        Trouble("Error", "exit code 1: KeyError", final=False),
        Trouble("CrashLoopBackOff", "exit code 1: KeyError", final=True),
    ),
}
"""What a pod shows in turns while its function is broken."""


def refused_pods(cluster: SmallCluster, message: str) -> None:
    """Show a Deployment as its controller does when the API server takes none of its pods."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
    deployment = cluster.objects["Deployment", KEY.name]
    deployment["spec"]["replicas"] = 1
    deployment["status"] = {"replicas": 0, "conditions": [{**failure, "message": message}]}
    cluster.show()


@pytest.mark.parametrize(
    "message",
    [
        'pods "thumbnail-1" is forbidden: exceeded quota: small, requested: cpu=1',
        'pods "thumbnail-1" is forbidden: error looking up service account shop/none',
        'pods "thumbnail-1" is forbidden: violates PodSecurity "restricted:latest"',
    ],
)
async def test_pods_that_cannot_be_made_are_told_with_an_event(message: str) -> None:
    cluster = await settled()
    refused_pods(cluster, message)
    await cluster.reconciler().reconcile(KEY)
    assert cluster.ready() == ("False", "FailedCreate")
    assert cluster.status()["conditions"][0]["message"] == message
    assert cluster.events == [("Warning", "FailedCreate")]
    cluster.show()
    cluster.writes.clear()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == []


async def test_what_a_deployment_says_of_what_was_asked_before_is_not_told() -> None:
    cluster = await settled()
    refused_pods(cluster, "exceeded quota")
    cluster.objects["Deployment", KEY.name]["metadata"]["generation"] = 2
    cluster.objects["Deployment", KEY.name]["status"]["observedGeneration"] = 1
    cluster.show()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.ready() == ("True", "Waking")


async def test_instances_that_are_late_are_told_with_an_event() -> None:
    cluster = await settled()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 1
    cluster.pods = [pod()]
    cluster.seen = Seen(late=True)
    cluster.show()
    await cluster.reconciler().reconcile(KEY)
    assert cluster.ready() == ("False", "NotReady")
    assert cluster.events == [("Warning", "NotReady")]


def mounting(*names: str) -> list[dict[str, Any]]:
    return [{"name": it, "mountPath": f"/{it}", "configMap": {"name": it}} for it in names]


async def test_a_container_that_was_never_started_names_the_config_map_it_waits_for() -> None:
    cluster = await settled({**IMAGE, "volumes": mounting("thumbnail-code", "nosuch")})
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 1
    cluster.pods = [replace(pod(), seen={"scheduled": 1.0})]
    cluster.seen = Seen(late=True)
    cluster.show()
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("False", "NotStarted")
    message = cluster.status()["conditions"][0]["message"]
    assert "spec.volumes: there is no ConfigMap 'nosuch' in this namespace;" in message
    assert "thumbnail-code" not in message
    cluster.pods = [pod()]
    cluster.show()
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("False", "NotReady")


@pytest.mark.parametrize("turns", LOOPS.values(), ids=LOOPS.keys())
async def test_a_broken_function_costs_no_write_a_turn(turns: tuple[Trouble | None, ...]) -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = 1
    for number in range(60):
        cluster.pods = [pod(trouble=turns[number % len(turns)])]
        cluster.seconds += 45
        cluster.show()
        await reconciler.reconcile(KEY)
    assert cluster.ready()[0] == "False"
    assert len(cluster.writes) <= len(turns)
    assert len(cluster.events) <= len(turns)


async def test_in_a_namespace_that_is_being_deleted_nothing_is_tried_again() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    cluster.failures.append(ApiNamespaceEnding(403, "Forbidden", "it is being terminated"))
    assert await cluster.reconciler().reconcile(KEY) is None
    assert cluster.writes == FIRST[:1]
    assert cluster.events == []


async def test_a_function_that_went_before_its_status_was_written_is_not_tried_again() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    cluster.failures.extend([*[None] * (len(FIRST) - 1), ApiNotFound(404, "NotFound", KEY.name)])
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    assert cluster.writes == FIRST
    assert cluster.events == []


async def test_waking_and_sleeping_tell_no_events() -> None:
    cluster = await settled()
    reconciler = cluster.reconciler()
    for replicas, pods in ((1, []), (1, [pod(ready=True)]), (0, [])):
        cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = replicas
        cluster.pods = list(pods)
        cluster.show()
        await reconciler.reconcile(KEY)
        cluster.show()
    assert cluster.events == []
    assert cluster.status()["replicas"] == {"desired": 0, "ready": 0, "starting": 0}


@pytest.mark.parametrize(("events_url", "warned"), [("", True), ("http://events:8090", False)])
async def test_calls_that_nobody_would_take_are_told_once(events_url: str, warned: bool) -> None:
    cluster = SmallCluster(events_url=events_url)
    cluster.put(function_object({**IMAGE, "async": {"maxAttempts": 2}}))
    reconciler = cluster.reconciler()
    for replicas in (0, 1, 0):
        await reconciler.reconcile(KEY)
        cluster.objects["Deployment", KEY.name]["spec"]["replicas"] = replicas
        cluster.show()
    assert cluster.ready()[0] == "True"
    assert cluster.events == ([("Warning", "AsyncUnavailable")] if warned else [])


async def test_a_function_that_leaves_is_left_to_the_garbage_collector() -> None:
    cluster = await settled()
    cluster.objects["Function", KEY.name]["metadata"]["deletionTimestamp"] = "now"
    cluster.remove("Deployment")
    assert await cluster.reconciler().reconcile(KEY) is None
    cluster.remove("Function")
    assert await cluster.reconciler().reconcile(KEY) is None
    assert cluster.writes == []


NEVER = {"provisioned": [{"schedule": "0 0 31 2 *", "timeZone": "Europe/Rome"}]}


async def test_a_window_that_never_opens_is_told_with_an_event_and_it_serves_on() -> None:
    cluster = SmallCluster()
    cluster.put(function_object({**IMAGE, "scaling": NEVER}))
    reconciler = cluster.reconciler()
    for _ in range(3):
        await reconciler.reconcile(KEY)
        cluster.show()
    assert cluster.ready() == ("True", "AtZero")
    told = {item["type"]: item for item in cluster.status()["conditions"]}["Stalled"]
    assert (told["status"], told["reason"]) == ("True", "InvalidWindow")
    assert "spec.scaling.provisioned[0].schedule: '0 0 31 2 *'" in told["message"]
    assert cluster.events == [("Warning", "InvalidWindow")]
    assert cluster.writes == FIRST
    cluster.put({**cluster.objects["Function", KEY.name], "spec": IMAGE})
    await reconciler.reconcile(KEY)
    assert {it["type"]: it["status"] for it in cluster.status()["conditions"]}["Stalled"] == "False"
