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
    assert "0: idle 31 s" in text
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
