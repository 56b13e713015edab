"""No definition holds the engine's event loop: leases, heartbeats and probes go on meanwhile."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.engine_rig import KEY, make_machine, rig
from torpor.workflows.asl.events import ReadItems
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.problem import Severity
from torpor.workflows.asl.validate import check_definition
from torpor.workflows.engine.concurrency import concurrency_lane
from torpor.workflows.engine.integrations.objects import open_store
from torpor.workflows.engine.integrations.store import StoredItems
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.world import WallClock, World
from torpor.workflows.records import Options

LONGEST_SECONDS = 0.3
"""Of the loop's own thread, which does not depend on what else the machine does. It is below 0.05
where heavy turns are left to another thread, and seconds where they are not."""
NUMBERS = [{"n": index, "text": f"text {index}"} for index in range(50_000)]


@dataclass
class Lag:
    """How much the event loop's thread worked between two rounds, at the most."""

    seconds: float = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Lag]:
    """Measure the loop's thread, without a garbage collection of what earlier tests left."""
    lag = Lag()
    gc.collect()
    gc.freeze()

    async def beat() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.005)
            lag.seconds = max(lag.seconds, time.thread_time() - began)

    beating = asyncio.create_task(beat(), name="beat")
    try:
        yield lag
    finally:
        beating.cancel()
        gc.unfreeze()


def jsonata(expression: str) -> dict[str, Any]:
    """A loop over a state with this expression: the first turn cannot do it all."""
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "Work",
        "States": {
            "Work": {
                "Type": "Pass",
                "Output": "{% {'n': $states.input.n + 1 + 0 * (" + expression + ")} %}",
                "Next": "Again",
            },
            "Again": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $states.input.n < 5 %}", "Next": "Work"}],
                "Default": "End",
            },
            "End": {"Type": "Succeed"},
        },
    }


def jsonpath(parameters: dict[str, Any], states: int = 5) -> dict[str, Any]:
    """States in a row that each fill the same template and keep their input."""
    state = {"Type": "Pass", "Parameters": parameters, "ResultPath": None}
    machine: dict[str, Any] = {
        f"S{index}": {**state, "Next": f"S{index + 1}"} for index in range(states)
    }
    return {"StartAt": "S0", "States": {**machine, f"S{states}": {"Type": "Succeed"}}}


HEAVY = {
    "a long calculation": (jsonata("$sum([1..80000].($*2+1))"), {"n": 0}),
    "a regular expression": (
        jsonata("$count($match($pad('', 20000, 'ab'), /a(b*)/))"),
        {"n": 0},
    ),
    "a sort": (jsonata("$sort([1..20000], function($a, $b) {$a < $b})[0]"), {"n": 0}),
    "a filter over a large array": (
        jsonpath({"found.$": "$[?(@.n > 10 && @.text != 'x')].n"}),
        NUMBERS,
    ),
    "a search at any depth": (jsonpath({"found.$": "$..n"}), NUMBERS),
    "large intrinsics": (jsonpath({"found.$": "States.ArrayUnique($)"}), NUMBERS),
    "a template of many large parts": (
        jsonpath({f"p{index}.$": "$" for index in range(16)}, states=2),
        NUMBERS,
    ),
    "a Map over a large array": (
        {
            "StartAt": "Each",
            "States": {
                "Each": {
                    "Type": "Map",
                    "MaxConcurrency": 1,
                    "ItemProcessor": {
                        "StartAt": "One",
                        "States": {"One": {"Type": "Pass", "End": True}},
                    },
                    "ItemSelector": {"n.$": "$$.Map.Item.Index"},
                    "End": True,
                }
            },
        },
        list(range(2_000)),
    ),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_definition_does_not_hold_the_event_loop(name: str) -> None:
    definition, input = HEAVY[name]
    problems = check_definition(json.dumps(definition))
    assert [one for one in problems if one.severity is Severity.ERROR] == []

    async def scenario() -> tuple[Status, float]:
        async with rig() as engine:
            machine = await engine.machine(definition)
            async with watched() as lag:
                ended = await engine.end(await engine.start(machine, input))
            return ended.status, lag.seconds

    status, seconds = asyncio.run(scenario())
    assert status is Status.SUCCEEDED
    assert seconds < LONGEST_SECONDS, f"the event loop worked for {seconds:.2f} s"


def test_a_heavy_concurrency_key_is_given_up_at_once() -> None:
    options = Options(concurrency_key="$sum([1..80000].($*2+1))", concurrency_limit=1)
    machine = make_machine({"StartAt": "p", "States": {"p": {"Type": "Pass"}}}, options=options)
    world = World(machine.arn, WallClock(), Random(1), TaskTokens(KEY))
    began = time.thread_time()
    assert concurrency_lane(machine, Payload({}), world) == machine.arn
    assert time.thread_time() - began < LONGEST_SECONDS


async def test_reading_many_items_does_not_hold_the_event_loop(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    await store.put("b", "k", gzip.compress(b'{"n":1,"text":"a"}\n' * 600_000, 1))
    arguments, config = {"Bucket": "b", "Key": "k"}, {"InputType": "JSONL"}
    request = ReadItems(1, 1, "arn:aws:states:::s3:getObject", arguments, config, None)
    machine = make_machine({"StartAt": "p", "States": {"p": {"Type": "Pass", "End": True}}})
    async with watched() as lag:
        items = await StoredItems(store).read(machine, request)
    assert len(items) == 600_000
    assert lag.seconds < LONGEST_SECONDS, f"the event loop worked for {lag.seconds:.2f} s"
