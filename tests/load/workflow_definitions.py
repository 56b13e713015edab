"""Definitions to measure with, and how many states a second the pure machine enters in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.harness import VirtualWorld
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import Continue, Dispatch, Input, Start, TaskSucceeded
from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Program
from torpor.workflows.asl.run import Limits

Definition = dict[str, Any]

QUOTA = Limits(payload_bytes=64 * 2**20)
FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:work"


@dataclass(frozen=True)
class Load:
    """A definition, its input, and what its tasks answer."""

    name: str
    definition: Definition
    input: Any
    answer: Callable[[Any], Any] = lambda argument: argument


def three_tasks() -> Definition:
    """Three calls of one function in a row."""
    task = {"Type": "Task", "Resource": FUNCTION}
    states = {
        "A": {**task, "Next": "B"},
        "B": {**task, "Next": "C"},
        "C": {**task, "End": True},
    }
    return {"StartAt": "A", "States": states}


def loop(states: int) -> Load:
    """States in a row, Pass and Choice in turn, run once from the first to the last."""
    machine: Definition = {}
    for index in range(states):
        following = f"S{index + 1}"
        if index % 2:
            rule = {"Variable": "$.n", "NumericGreaterThan": -1, "Next": following}
            machine[f"S{index}"] = {"Type": "Choice", "Choices": [rule], "Default": "End"}
        else:
            machine[f"S{index}"] = {
                "Type": "Pass",
                "Parameters": {"n.$": "$.n", "at.$": "$$.State.Name"},
                "Next": following,
            }
    machine[f"S{states}"] = machine["End"] = {"Type": "Succeed"}
    return Load(f"pass-choice-{states}", {"StartAt": "S0", "States": machine}, {"n": 1})


def mapped(items: int) -> Load:
    """A Map over items: a Choice, a Pass and a Task for each of them."""
    processor = {
        "StartAt": "Pick",
        "States": {
            "Pick": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.n", "NumericLessThan": 0, "Next": "Work"}],
                "Default": "Shape",
            },
            "Shape": {"Type": "Pass", "Parameters": {"n.$": "$.n"}, "Next": "Work"},
            "Work": {"Type": "Task", "Resource": FUNCTION, "ResultPath": "$.r", "End": True},
        },
    }
    state = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 40, "End": True}
    definition = {"StartAt": "Each", "States": {"Each": state}}
    return Load(f"map-{items}", definition, [{"n": index} for index in range(items)])


def orders(lines: int) -> Load:
    """An order with lines: both query languages, variables, Parallel, Map, Retry and Catch."""
    caught = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Refuse"}]
    price = {
        "StartAt": "Price",
        "States": {
            "Price": {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Output": "{% {'sku': $states.input.sku, 'sum': $states.input.n * 2} %}",
                "End": True,
            }
        },
    }
    states = {
        "Check": {
            "Type": "Choice",
            "Choices": [
                {
                    "And": [
                        {"Variable": "$.lines", "IsPresent": True},
                        {"Variable": "$.total", "NumericGreaterThan": 10},
                    ],
                    "Next": "Remember",
                }
            ],
            "Default": "Refuse",
        },
        "Remember": {
            "Type": "Pass",
            "Assign": {"id.$": "States.Format('order-{}', $.id)"},
            "Next": "Prices",
        },
        "Prices": {
            "Type": "Map",
            "ItemsPath": "$.lines",
            "ItemProcessor": price,
            "ResultPath": "$.lines",
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "A",
                    "States": {"A": {"Type": "Task", "Resource": FUNCTION, "End": True}},
                },
                {"StartAt": "B", "States": {"B": {"Type": "Pass", "Result": True, "End": True}}},
            ],
            "ResultSelector": {"reserved.$": "$[0].id", "told.$": "$[1]"},
            "ResultPath": "$.done",
            "Retry": [{"ErrorEquals": ["Busy"]}],
            "Catch": caught,
            "Next": "Tell",
        },
        "Tell": {"Type": "Pass", "Parameters": {"id.$": "$id", "done.$": "$.done"}, "End": True},
        "Refuse": {"Type": "Fail", "Error": "Refused"},
    }
    order = {"id": 7, "total": 99, "lines": [{"sku": f"s{n}", "n": n} for n in range(lines)]}
    return Load(f"orders-{lines}", {"StartAt": "Check", "States": states}, order)


def run_once(program: Program, load: Load) -> int:
    """One execution from start to end; returns how many states it entered."""
    world = VirtualWorld()
    identity = Identity("arn:e", "e", "arn:r", "arn:m", "m", world.now(), Payload(load.input))
    frontier = Frontier(identity)
    waiting: list[Input] = [Start()]
    entered = 0
    while waiting:
        step = advance(program, frontier, waiting.pop(), world, QUOTA)
        entered += step.transitions
        if step.more:
            waiting.append(Continue())
        waiting.extend(
            TaskSucceeded(effect.frame, effect.ticket, Payload(load.answer(effect.argument.value)))
            for effect in step.effects
            if isinstance(effect, Dispatch)
        )
    assert frontier.status is Status.SUCCEEDED, f"{load.name}: {frontier.error} {frontier.cause}"
    return entered


@dataclass(frozen=True)
class Rate:
    """States entered a second of wall-clock time, and a second of this process's CPU time.

    One thread on a busy machine is often not running: only the second can be compared there.
    """

    wall: float
    cpu: float


def transitions_per_second(load: Load, seconds: float) -> Rate:
    """One round; compiling the definition is not counted."""
    program = compile_program(load.definition)
    _ = run_once(program, load)
    entered, begun, begun_cpu = 0, time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - begun) < seconds:
        entered += run_once(program, load)
    return Rate(entered / taken, entered / (time.process_time() - begun_cpu))
