"""`torpor fn`, the whole command, against an API server that holds two Functions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Torpor, exit_status
from tests.unit.cli.fake_cluster import FakeCluster

PHASES = {"decide": 20, "schedule": 30, "create": 400, "start": 200, "release": 50}


def function(namespace: str, name: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"image": "registry/thumb:1", "scaling": {"minReplicas": 0, "maxReplicas": 7}},
        "status": status,
    }


def asleep(namespace: str, name: str) -> dict[str, Any]:
    condition = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    ready = {"type": "Ready", "status": "True", "reason": "AtZero", "message": "a request wakes it"}
    active = {"type": "Active", "status": "False", "reason": "AtZero", "message": "no instance"}
    return function(
        namespace,
        name,
        url=f"http://{name}.{namespace}.localhost",
        replicas={"desired": 0, "ready": 0, "starting": 0},
        reason="0: idle 31 s",
        decisions=[
            {"time": "2026-11-21T09:00:00Z", "from": 0, "to": 2, "reason": "in flight 60"},
            {"time": "2026-11-21T11:00:00Z", "from": 2, "to": 0, "reason": "idle 31 s"},
        ],
        lastActiveTime="2026-01-01T00:05:00Z",
        conditions=[{**condition, **ready}, {**condition, **active}],
        coldStart={
            "samples": 3,
            "last": {**PHASES, "total": 700},
            "p50": {"total": 650},
            "p95": {"total": 720},
        },
    )


async def test_list_shows_the_contexts_namespace(cluster: FakeCluster, torpor: Torpor) -> None:
    cluster.functions = [asleep("shop", "thumb"), asleep("other", "mail")]
    done = await torpor("fn", "list")
    header, line = done.out.splitlines()
    assert header.split() == [
        *("NAME", "READY", "ACTIVE", "REPLICAS", "COLD", "START", "URL", "AGE")
    ]
    assert line.split()[:7] == [
        *("thumb", "True", "False", "0", "650", "ms", "http://thumb.shop.localhost")
    ]


async def test_list_everywhere_is_sorted_and_knows_new_ones(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [function("shop", "new"), asleep("other", "mail")]
    done = await torpor("fn", "list", "-A")
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[:5] for row in rows[1:]] == [
        ["other", "mail", "True", "False", "0"],
        ["shop", "new", "Unknown", "Unknown", "0"],
    ]


async def test_list_of_nothing_says_so(cluster: FakeCluster, torpor: Torpor) -> None:
    done = await torpor("fn", "list", "-n", "empty")
    assert (done.code, done.out) == (0, "")
    assert done.err == "torpor fn: no Functions in empty; -A looks everywhere\n"


async def test_machine_readable_forms_are_the_objects(cluster: FakeCluster, torpor: Torpor) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    listed = json.loads((await torpor("fn", "list", "-o", "json")).out)
    shown = yaml.safe_load((await torpor("fn", "show", "thumb", "-o", "yaml")).out)
    assert listed == {"items": cluster.functions}
    assert shown == cluster.functions[0]


async def test_show_tells_state_decision_and_cold_starts_by_phase(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    text = (await torpor("fn", "show", "thumb")).out
    assert "AtZero: a request wakes it" in text
    lately = text.split("last decisions\n")[1].splitlines()[:2]
    assert [line.split("ago  ")[1] for line in lately] == [
        "0 -> 2 replicas: in flight 60",
        "2 -> 0 replicas: idle 31 s",
    ]
    assert "(min 0, max 7)" in text
    assert "3 seen, p50 650 ms, p95 720 ms" in text
    lines = {line.split()[0]: line for line in text.splitlines() if " ms  █" in line}
    assert list(lines) == list(PHASES)
    assert lines["create"].count("█") > lines["start"].count("█") > 10


async def test_show_of_a_new_function_says_that_nothing_was_seen(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [function("shop", "new")]
    text = (await torpor("fn", "show", "shop/new")).out
    assert "not seen by Torpor yet" in text
    assert "last decisions: none yet" in text
    assert "cold starts: none yet" in text


async def test_unknown_function_says_how_to_find_them(torpor: Torpor) -> None:
    for action in ("show", "logs"):
        done = await torpor("fn", action, "nobody")
        assert (done.code, done.out) == (1, "")
        assert "no Function shop/nobody; `torpor fn list -A`" in done.err


async def test_logs_name_the_instance_when_there_are_several(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    cluster.logs = {"thumb-b": "two\n", "thumb-a": "one\nun"}
    assert (await torpor("fn", "logs", "thumb")).out == (
        "[thumb-a] one\n[thumb-a] un\n[thumb-b] two\n"
    )
    del cluster.logs["thumb-b"]
    assert (await torpor("fn", "logs", "thumb")).out == "one\nun\n"


async def test_following_logs_finds_new_instances_and_ends_with_one_line(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    cluster.logs = {"thumb-a": "one\n", "thumb-b": "two\n"}
    cluster.pod_lists = iter([[], ["thumb-a"], ["thumb-a", "thumb-b"], ["thumb-b"]])
    done = await torpor("fn", "logs", "thumb", "--follow")
    assert done.out == "[thumb-a] one\n[thumb-b] two\n"
    assert (done.code, len(done.err.splitlines())) == (1, 1), done.err
    assert "that is all" in done.err


async def test_logs_of_a_sleeping_function_say_that_there_are_none(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    done = await torpor("fn", "logs", "thumb")
    assert (done.code, done.out) == (0, "")
    assert "no instance of shop/thumb runs" in done.err


async def test_wrong_credentials_are_told_in_one_line(
    cluster: FakeCluster, torpor: Torpor, tmp_path: Any
) -> None:
    path = cluster.kubeconfig(tmp_path)
    wrong = await asyncio.to_thread(path.read_text)
    await asyncio.to_thread(path.write_text, wrong.replace("secret", "guess"))
    done = await torpor("fn", "list")
    assert (done.code, done.out) == (1, "")
    assert "Unauthorized" in done.err
    assert len(done.err.splitlines()) == 1


def test_without_a_cluster_it_is_said_that_dev_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path))
    assert exit_status(["fn", "list", "-n", "shop"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("torpor fn: needs a cluster, and `torpor dev` is none")
    assert len(said.splitlines()) == 1


async def test_usage_is_status_2(torpor: Torpor) -> None:
    assert (await torpor("fn")).code == 2
    assert (await torpor("fn", "dance")).code == 2


def stuck(reason: str) -> dict[str, Any]:
    condition = {"lastTransitionTime": "2026-01-01T00:00:00Z", "reason": reason, "message": "why"}
    ready = {**condition, "type": "Ready", "status": "False"}
    stalled = {**condition, "type": "Stalled", "status": "True"}
    return function("shop", "thumb", conditions=[ready, stalled])


def event(kind: str, at: str, reason: str, note: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"thumb.{at}"},
        "regarding": {"kind": kind, "name": "thumb"},
        "eventTime": f"2026-01-01T00:00:{at}Z",
        "reason": reason,
        "note": note,
    }


async def test_wide_says_more_and_names_are_those_of_kubectl(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "mail"), asleep("shop", "thumb")]
    wide = (await torpor("fn", "list", "-o", "wide")).out.splitlines()
    assert wide[0].endswith("RUNS                     LAST DECISION")
    assert "image registry/thumb:1" in wide[1]
    assert wide[1].endswith("0: idle 31 s")
    names = (await torpor("fn", "list", "-o", "name")).out
    assert names == "function.torpor.dev/mail\nfunction.torpor.dev/thumb\n"
    assert (await torpor("fn", "show", "thumb", "-o", "name")).out == "function.torpor.dev/thumb\n"


async def test_names_of_nothing_are_no_line(torpor: Torpor) -> None:
    done = await torpor("fn", "list", "-o", "name")
    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("CrashLoopBackOff", "which starts it; torpor fn logs thumb -n shop --previous"),
        ("ImagePullBackOff", "kubectl -n shop describe pods -l torpor.dev/function=thumb"),
        ("OOMKilled", "resources.limits.memory"),
        ("FailedCreate", "kubectl -n shop get resourcequotas,serviceaccounts"),
        ("NotReady", "torpor fn logs thumb -n shop says"),
        ("NotStarted", "kubectl -n shop describe pods -l torpor.dev/function=thumb"),
        ("NeverHeardOf", "kubectl -n shop describe pods"),
    ],
)
async def test_show_says_what_to_do(
    cluster: FakeCluster, torpor: Torpor, reason: str, said: str
) -> None:
    cluster.functions = [stuck(reason)]
    text = (await torpor("fn", "show", "thumb")).out
    assert said in text.split("what to do")[1].splitlines()[1]


async def test_show_tells_what_happened_lately_the_latest_last(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    scaled = "Scaled up replica set thumb-5f from 0 to 3"
    cluster.objects["/apis/events.k8s.io/v1/namespaces/shop/events"] = {
        "items": [
            event("Deployment", "09", "ScalingReplicaSet", scaled),
            event("Function", "05", "Ready", "asleep; a request wakes it"),
            event("Pod", "07", "Pulled", "of a pod of the same name"),
        ]
    }
    lately = (await torpor("fn", "show", "thumb")).out.split("lately\n")[1].splitlines()[:2]
    assert [line.split("ago  ")[1] for line in lately] == [
        "Ready: asleep; a request wakes it",
        "0 -> 3 replicas (thumb-5f)",
    ]


async def test_show_tells_why_the_node_does_not_make_a_container(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    words = 'MountVolume.SetUp failed for volume "a" : configmap "nosuch" not found'
    found = [event("Pod", "01", "FailedMount", words), event("Pod", "02", "Unhealthy", "probe")]
    for item in found:
        item["regarding"]["name"] = "thumb-5f6c7d8b9-x2k4q"
    other = event("Pod", "03", "FailedMount", "of another function")
    other["regarding"]["name"] = "thumb-nail-5f6c7d8b9-x2k4q"
    cluster.objects["/apis/events.k8s.io/v1/namespaces/shop/events"] = {"items": [*found, other]}
    lately = (await torpor("fn", "show", "thumb")).out.split("lately\n")[1].split("\n\n")[0]
    assert [line.split("ago  ")[1] for line in lately.splitlines()] == [f"FailedMount: {words}"]


async def test_show_says_that_events_may_not_be_read(cluster: FakeCluster, torpor: Torpor) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    done = await torpor("fn", "show", "thumb")
    assert done.code == 0
    assert "what happened lately is not known" in done.err


@pytest.mark.parametrize(
    ("wanted", "obj", "code"),
    [
        ("zero", asleep("shop", "thumb"), 0),
        ("ready", asleep("shop", "thumb"), 0),
        ("condition=Active=False", asleep("shop", "thumb"), 0),
        ("condition=Active", asleep("shop", "thumb"), 1),
        ("active", asleep("shop", "thumb"), 1),
        ("ready", stuck("CrashLoopBackOff"), 1),
        ("zero", function("shop", "thumb"), 1),
    ],
)
async def test_wait_ends_when_it_is_so_or_says_how_it_stands(
    cluster: FakeCluster, torpor: Torpor, wanted: str, obj: dict[str, Any], code: int
) -> None:
    cluster.functions = [obj]
    done = await torpor("fn", "wait", "thumb", "--for", wanted, "--timeout", "0.1")
    assert done.code == code, done.err
    assert (f"not {wanted} within 0.1 s" in done.err) == bool(code)


async def test_wait_looks_again_until_it_is_so(cluster: FakeCluster, torpor: Torpor) -> None:
    stale = asleep("shop", "thumb")
    stale["metadata"]["generation"] = 2
    seen = iter([stale, stuck("Pending"), asleep("shop", "thumb")])
    cluster.objects["/apis/torpor.dev/v1alpha1/namespaces/shop/functions/thumb"] = lambda: next(
        seen
    )
    done = await torpor("fn", "wait", "thumb", "--timeout", "30")
    assert (done.code, done.out) == (0, "shop/thumb is ready\n")


async def test_delete_waits_until_the_children_are_gone(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    cluster.functions[0]["metadata"]["uid"] = "u-1"
    gone: dict[str, Any] = {"items": []}
    child = {"items": [{"metadata": {"name": "thumb"}}]}
    left = iter([child, gone])
    cluster.objects["/apis/apps/v1/namespaces/shop/deployments"] = lambda: next(left)
    cluster.objects["/api/v1/namespaces/shop/services"] = gone
    cluster.objects["/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"] = gone
    done = await torpor("fn", "delete", "thumb", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "and all that was made for it" in done.out
    assert [it["preconditions"] for it in cluster.deleted] == [{"uid": "u-1"}]
    assert next(left, None) is None, "it did not look until the children were gone"


async def test_delete_says_what_is_left_when_time_is_up(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    cluster.functions[0]["metadata"]["uid"] = "u-1"
    cluster.logs = {"thumb-a": ""}
    for path in (
        "/apis/apps/v1/namespaces/shop/deployments",
        "/api/v1/namespaces/shop/services",
        "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies",
    ):
        cluster.objects[path] = {"items": []}
    done = await torpor("fn", "delete", "thumb", "-y", "--timeout", "0.1")
    assert done.code == 1
    assert "not within 0.1 s: Pod thumb-a" in done.err


async def test_delete_asks_and_deletes_nothing_when_nobody_is_there(
    cluster: FakeCluster, torpor: Torpor
) -> None:
    cluster.functions = [asleep("shop", "thumb")]
    cluster.functions[0]["metadata"]["uid"] = "u-1"
    done = await torpor("fn", "delete", "thumb", stdin=b"y\n")
    assert (done.code, done.out, cluster.deleted) == (1, "", [])
    assert "--yes deletes shop/thumb" in done.err


async def test_fn_invoke_is_invoke(cluster: FakeCluster, torpor: Torpor) -> None:
    done = await torpor("fn", "invoke", "thumb", "-d", "x")
    assert (done.code, done.out) == (0, "served\n")
    assert [(it.method, it.path) for it in cluster.received] == [("POST", "/function/shop/thumb/")]
