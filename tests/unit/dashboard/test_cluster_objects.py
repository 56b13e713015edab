"""Functions, Triggers and runs as Kubernetes' objects tell of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torpor.dashboard.cluster.objects import (
    cold_starts_of,
    function_seen,
    loads_of,
    runs_seen,
    trigger_seen,
)
from torpor.dashboard.model import ColdStarted, FunctionSeen
from torpor.dashboard.requests import Requests
from torpor.resources.load import ColdStart, FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run, RunState
from torpor.triggers.standings import Standing

KEY = FunctionKey("shop", "pay")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def condition(kind: str, status: str, reason: str = "R", message: str = "m") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def seen(spec: dict[str, Any] | None = None, **status: Any) -> FunctionSeen:
    obj = {"metadata": {"namespace": "shop", "name": "pay"}, "spec": spec or {}, "status": status}
    return function_seen(obj, FunctionLoad(in_flight=2, held=1, requests=9), ())


STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "zero": ({}, {"replicas": {"desired": 0, "ready": 0, "starting": 0}}),
    "waking": ({}, {"replicas": {"desired": 1, "ready": 0, "starting": 1}}),
    "ready": ({}, {"replicas": {"desired": 2, "ready": 1, "starting": 1}}),
    "paused": ({"scaling": {"paused": True}}, {"replicas": {"ready": 1}}),
    "failing": ({}, {"replicas": {"starting": 1}, "conditions": [condition("Ready", "False")]}),
    "job": ({"workload": "Job"}, {"runs": {"active": 1}}),
}


@pytest.mark.parametrize("state", STATES)
def test_a_function_is_in_one_state(state: str) -> None:
    spec, status = STATES[state]
    assert seen(spec, **status).state == state


def test_a_function_says_why_and_has_the_load_of_all_gateways() -> None:
    trouble = [condition("Ready", "False", "ImagePullBackOff", "no such image")]
    found = seen(replicas={"desired": 3, "ready": 1, "starting": 1}, conditions=trouble)
    assert (found.replicas, found.ready, found.wanted) == (2, 1, 3)
    assert (found.in_flight, found.held, found.requests) == (2, 1, 9)
    assert found.reason == "ImagePullBackOff: no such image"
    assert seen(reason="idle 31 s").reason == "idle 31 s"


def test_loads_and_cold_starts_of_gateways_are_put_together() -> None:
    cold = [ColdStart(KEY, number, {"start": number * 1.0}, number * 1.0) for number in (1, 2)]
    answers = [
        GatewayLoad("a", "b", {KEY: FunctionLoad(1, 0, 2, 0.0, 10)}, (cold[0],)),
        GatewayLoad("b", "b", {KEY: FunctionLoad(2, 1, 0, 0.0, 5)}, (cold[1],)),
    ]
    load = loads_of(answers)[KEY]
    assert (load.in_flight, load.queued, load.held, load.requests) == (3, 1, 2, 15)
    assert cold_starts_of(answers)[KEY] == [
        ColdStarted(2.0, {"start": 2.0}),
        ColdStarted(1.0, {"start": 1.0}),
    ]


def test_a_cold_start_that_the_gateways_forgot_is_that_of_the_status() -> None:
    found = seen(coldStart={"last": {"start": 80, "release": 5, "total": 85}})
    assert found.cold_starts == [ColdStarted(85.0, {"start": 80.0, "release": 5.0})]


def test_requests_are_known_while_a_function_sleeps_and_forgotten_with_it() -> None:
    requests = Requests()
    assert requests.kept({KEY: FunctionLoad(requests=7)}, [KEY])[KEY].requests == 7
    assert requests.kept({}, [KEY])[KEY].requests == 7
    assert requests.kept({}, []) == {}
    assert requests.kept({}, [KEY])[KEY].requests == 0


def trigger(source: dict[str, Any], *conditions: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "orders", "uid": "u", "generation": 1},
        "spec": {"source": source, "target": {"function": {"name": "pay"}}},
        "status": {"conditions": list(conditions)},
    }


def standing(**more: Any) -> dict[FunctionKey, Standing]:
    key = FunctionKey("shop", "orders")
    return {key: Standing(key, "u", 1, **{"subscribed": True, **more})}


BUS = {"bus": {"name": "main"}}
WAYS: dict[str, tuple[dict[str, Any], dict[FunctionKey, Standing], tuple[str, str]]] = {
    "well": (trigger(BUS), standing(), ("ready", "")),
    "paused": (trigger(BUS), standing(suspended=True, reason="Suspended"), ("paused", "Suspended")),
    "starting": (
        trigger(BUS),
        standing(subscribed=False, reason="Starting", message="it connects"),
        ("starting", "Starting: it connects"),
    ),
    "failing": (
        trigger(BUS),
        standing(subscribed=False, reason="SourceAway", message="refused"),
        ("failing", "SourceAway: refused"),
    ),
    "refused by the controller": (
        trigger(BUS, condition("Ready", "False", "TargetMissing", "no pay")),
        standing(),
        ("failing", "TargetMissing: no pay"),
    ),
    "without the events role": (
        trigger(BUS, condition("Ready", "False", "EventsNotInstalled", "enable it")),
        {},
        ("failing", "EventsNotInstalled: enable it"),
    ),
    "of the gateway alone": (trigger({"http": {"path": "/pay"}}), {}, ("ready", "")),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_trigger_stands_as_the_role_and_the_controller_say(way: str) -> None:
    obj, standings, (state, message) = WAYS[way]
    found = trigger_seen(obj, standings)
    assert (found.state, found.message) == (state, message)
    assert found.target == "function/pay"


def test_a_trigger_that_cannot_be_read_fails_and_says_why() -> None:
    found = trigger_seen(trigger({"bus": {}, "queue": {}}), {})
    assert found.state == "failing"
    assert "spec.source" in found.message


def test_runs_are_those_of_jobs_the_newest_first_with_their_traces() -> None:
    def job(name: str, created: str, trace: str = "") -> dict[str, Any]:
        run = Run(name, KEY, RunState.RUNNING, progress={"ratio": 0.5})
        variable = [{"name": "TRACEPARENT", "value": f"00-{trace}-00f067aa0ba902b7-01"}]
        container = {"name": "function", "env": variable if trace else []}
        return {
            "metadata": {
                "namespace": "shop",
                "name": name,
                "uid": name,
                "resourceVersion": "1",
                "creationTimestamp": created,
                "labels": {"torpor.dev/run": name, "torpor.dev/run-of": "pay"},
                "annotations": {"torpor.dev/run": json.dumps(run.to_json())},
            },
            "spec": {"template": {"spec": {"containers": [container]}}},
        }

    other = {"metadata": {"namespace": "shop", "name": "x", "uid": "x", "resourceVersion": "1"}}
    found = runs_seen(
        [job("a", "2026-01-01T00:00:00Z"), job("b", "2026-01-02T00:00:00Z", TRACE), other]
    )
    assert [(run["id"], run["state"], run["traceId"]) for run in found] == [
        ("b", "Running", TRACE),
        ("a", "Running", ""),
    ]
    assert found[0]["progress"]["ratio"] == 0.5
