"""A snapshot has a largest size, whatever is written into what it tells of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.virtual_time import run as run_virtual
from tests.unit.dashboard.empty import Empty
from torpor.dashboard import translating
from torpor.dashboard.cluster.objects import function_seen, runs_seen, trigger_seen
from torpor.dashboard.costing import bill_json
from torpor.dashboard.encoding import encoded
from torpor.dashboard.gathering import Gathering
from torpor.dashboard.model import (
    MOST_CHARACTERS,
    MOST_ITEMS,
    EventSeen,
    ExecutionSeen,
    FunctionSeen,
    Json,
    TriggerSeen,
    to_json,
)
from torpor.resources.load import FunctionLoad
from torpor.resources.names import FunctionKey
from torpor.resources.run import Indexes, Run, RunState
from torpor.telemetry.spanstore import Summary
from torpor.triggers.latest import LatestEvent
from torpor.workflows.latest import LatestExecution

LARGE = "\x01" * 5_000
"""Six bytes of JSON for each character."""
MOST_BYTES = 8 << 20


def labels(name: str) -> dict[str, Any]:
    return {"namespace": "n" * 63, "name": name.rjust(63, "x"), "uid": name, "generation": 1}


def failing() -> dict[str, Any]:
    condition = {"type": "Ready", "status": "False", "reason": "R", "message": LARGE}
    return {"conditions": [condition]}


def trigger(number: int) -> dict[str, Any]:
    topics = [f"{LARGE}{topic}" for topic in range(3)]
    spec = {
        "source": {"mqtt": {"url": "mqtt://m:1883", "topics": topics}},
        "target": {"function": {"name": "f" * 63}},
    }
    return {"metadata": labels(f"t{number}"), "spec": spec, "status": failing()}


def job(number: int) -> dict[str, Any]:
    run = Run(
        f"r{number}",
        FunctionKey("shop", "film"),
        RunState.FAILED,
        reason=LARGE,
        message=LARGE,
        indexes=Indexes(total=10_000),
        progress={name: LARGE for name in ("message", "unit", "other")},
        result=[LARGE] * 3,
    )
    return {
        "metadata": {
            "namespace": "shop",
            "name": run.id,
            "uid": run.id,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"torpor.dev/run": run.id, "torpor.dev/run-of": "film"},
            "annotations": {"torpor.dev/run": json.dumps(run.to_json())},
        },
        "spec": {"template": {"spec": {}}},
    }


READABLE = json.dumps(Run("r2", FunctionKey("shop", "film"), RunState.FAILED).to_json())


class Flood(Empty):
    """Tells as much as there can be, with texts that are as large as somebody likes."""

    async def functions(self) -> Sequence[FunctionSeen]:
        objects = [{"metadata": labels(f"f{n}"), "status": failing()} for n in range(1500)]
        return [function_seen(obj, FunctionLoad(), ()) for obj in objects]

    async def executions(self) -> Sequence[ExecutionSeen]:
        states = ("s" * 80,) * 51
        found = LatestExecution(LARGE, "w", LARGE, "FAILED", states, 1.0, 2.0, LARGE, "")
        return [translating.execution(found, 3.0)] * 60

    async def runs(self) -> Sequence[Json]:
        return runs_seen(job(number) for number in range(60))

    async def triggers(self) -> Sequence[TriggerSeen]:
        return [trigger_seen(trigger(number), {}) for number in range(1000)]

    async def bus(self) -> Sequence[EventSeen]:
        found = LatestEvent("shop/b", LARGE, LARGE, LARGE, LARGE, 1.0, "")
        return [translating.event(found)] * 60

    async def cost(self) -> Json | None:
        return bill_json([metrics(MOST_ITEMS + 100)], "", 7.0)

    async def traces(self) -> Sequence[Json]:
        return [Summary("t" * 32, "\x01" * 1024, 1.0, 2.0, 3, 0, 0, 0).as_json()] * 60


def metrics(functions: int) -> str:
    seconds, size = "torpor_function_pod_seconds_total", "torpor_function_pod_size"
    names = [f'namespace="shop",function="f{number}"' for number in range(functions)]
    return "\n".join(
        [
            f"# TYPE {seconds} counter",
            *(f'{seconds}{{{name},phase="useful"}} {at + 3600}' for at, name in enumerate(names)),
            f"# TYPE {size} gauge",
            *(f'{size}{{{name},resource="memory_bytes"}} {1 << 30}' for name in names),
            "",
        ]
    )


def test_a_snapshot_has_a_largest_size_whatever_was_written() -> None:
    found = to_json(run_virtual(Gathering(Flood(), wall=lambda: 7.0).snapshot()))
    assert found["problem"] == ""
    assert len(encoded(found)) < MOST_BYTES
    rows = (*found["functions"], *found["triggers"], *found["executions"], *found["bus"])
    texts = [value for row in rows for value in row.values() if isinstance(value, str)]
    assert max(map(len, texts)) == MOST_CHARACTERS
    assert {text[-1] for text in texts if len(text) == MOST_CHARACTERS} == {"…"}


def test_a_run_says_how_far_it_is_and_leaves_out_what_is_large() -> None:
    [run] = runs_seen([job(1)])
    assert run["result"] == "…"
    assert len(run["progress"]["message"]) == 200
    assert "other" not in run["progress"]


@pytest.mark.parametrize(
    "told",
    ["[" * 100_000, READABLE.replace('"attempt": 1', '"attempt": Infinity'), "{}", ""],
    ids=["deep", "infinite", "other", "nothing"],
)
def test_a_run_whose_annotation_cannot_be_read_hides_no_other(told: str) -> None:
    wrong = job(2)
    wrong["metadata"]["annotations"] = {"torpor.dev/run": told}
    states = {run["id"]: run["state"] for run in runs_seen([job(1), wrong])}
    assert states == {"r1": "Failed", "r2": "Pending"}


@pytest.mark.parametrize("result", [{"n": 1}, None, "text", [1, None]])
def test_a_result_of_some_bytes_is_shown(result: Any) -> None:
    run = Run("one", FunctionKey("shop", "film"), RunState.SUCCEEDED, result=result)
    assert translating.run(run, "")["result"] == result


def test_a_bill_of_many_items_has_the_dearest_and_one_for_the_others() -> None:
    whole = bill_json([metrics(MOST_ITEMS + 5)], "", 7.0)
    *shown, others = whole["items"]
    assert len(shown) == MOST_ITEMS - 1
    assert (others["kind"], others["name"]) == ("others", "6 others")
    assert others["amount"] == pytest.approx(sum(others["parts"].values()))
    assert others["amount"] < 6 * min(item["amount"] for item in shown)
    assert sum(item["amount"] for item in whole["items"]) == pytest.approx(whole["now"])
