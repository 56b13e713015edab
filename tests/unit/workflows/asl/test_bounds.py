"""Short expressions that ask for much memory or for numbers that do not exist fail their state."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import pytest

from tests.conformance.harness import Player
from tests.unit.workflows.asl.playing import echo, only
from torpor.expressions.values import parse_json
from torpor.expressions.work import MAX_STEP_WORK
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import Continue, Start, Step
from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload

MIB = 1_048_576


def jsonata(expression: str) -> dict[str, Any]:
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% " + expression + " %}"}
    return only(state)


@pytest.mark.parametrize(
    "expression",
    [
        "$count([1..80].$pad('x', 6000000))",
        "$join([1..2000].$states.input.v)",
        "$join([1..20000].('x'), $states.input.v)",
        "$replace($pad('a', 100000, 'a'), 'a', $states.input.v)",
        "$length($string([1..2000].$states.input.v))",
        "[1..2000].$states.input.v",
        "$length('' & [1..2000].$states.input.v)",
        "$split($pad('', 2000000, 'ab'), 'a')",
        "$parse($pad('', 2000000, '[]'))",
    ],
)
def test_texts_that_an_expression_builds_are_bounded_in_all(expression: str) -> None:
    tracemalloc.start()
    try:
        outcome = Player(jsonata(expression)).run({"v": "y" * 200_000})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (outcome.status, outcome.error) == (Status.FAILED, "States.QueryEvaluationError")
    assert "memory limit exceeded" in (outcome.cause or "")
    assert peak < 200 * MIB


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        ("$replace('a.b.c', '.', '$0$$')", "a.$b.$c"),
        ("$replace('aaaa', 'a', 'b', 2)", "bbaa"),
        ("$replace('aaaa', 'a', 'b', 1.5)", "bbaa"),
        ("$replace('aaaa', 'a', 'b', 0.1)", "baaa"),
        ("$replace('abc', 'x', 'y')", "abc"),
        ("$join(['a', 'b'], '-')", "a-b"),
        ("$join(['a', 'b'])", "ab"),
        ("$string([1, {'a': 'b'}])", '[1,{"a":"b"}]'),
        ("$split('a-b-c', '-', 2)", ["a", "b"]),
    ],
)
def test_bounded_functions_do_what_the_others_did(expression: str, output: Any) -> None:
    assert Player(jsonata(expression)).run({}).output == output


def test_a_format_is_refused_before_its_text_is_built() -> None:
    count = 20_000
    call = f"States.Format('{'{}' * count}'{', $.v' * count})"
    outcome = Player(only({"Type": "Pass", "Parameters": {"x.$": call}})).run({"v": "y" * 200_000})
    assert (outcome.status, outcome.error) == (Status.FAILED, "States.Runtime")
    assert "longer than" in (outcome.cause or "")


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[1" + "0" * 400 + "]", '{"a":9e0999}'])
def test_a_number_that_no_double_holds_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="too large a number"):
        parse_json(text)


@pytest.mark.parametrize("value", [10**400, math.inf])
@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"Type": "Wait", "SecondsPath": "$.s"}, "States.Runtime"),
        ({"Type": "Pass", "Parameters": {"x.$": "States.MathAdd($.s, 1)"}}, "States.Runtime"),
        (
            {
                "Type": "Task",
                "Resource": "arn:aws:lambda:us-east-1:123456789012:function:f",
                "TimeoutSecondsPath": "$.s",
            },
            "States.Runtime",
        ),
    ],
)
def test_a_number_beyond_doubles_is_the_fault_of_its_field(
    state: dict[str, Any], error: str, value: float
) -> None:
    outcome = Player(only(state), echo).run({"s": value})
    assert (outcome.status, outcome.error) == (Status.FAILED, error)


class _Outside:
    def now(self) -> float:
        return 1.7e9

    def uuid(self) -> str:
        return "u"

    def random(self) -> float:
        return 0.5

    def task_token(self, frame: int, ticket: int) -> str:
        return "t"


def _stepped(definition: dict[str, Any], value: Any) -> list[Step]:
    program, outside = compile_program(definition), _Outside()
    frontier = Frontier(Identity("a", "n", "r", "m", "m", 1.7e9, Payload(value)))
    steps = [advance(program, frontier, Start(), outside)]
    while steps[-1].more:
        steps.append(advance(program, frontier, Continue(), outside))
    assert frontier.status is Status.SUCCEEDED
    return steps


def _row(output: str, states: int) -> dict[str, Any]:
    named = {
        f"S{index}": {"Type": "Pass", "Output": output, "Next": f"S{index + 1}"}
        for index in range(states)
    }
    return {
        "QueryLanguage": "JSONata",
        "StartAt": "S0",
        "States": {**named, f"S{states}": {"Type": "Succeed"}},
    }


def test_a_step_ends_when_its_evaluations_cost_enough_and_costs_the_same_again() -> None:
    definition = _row("{% $sum([1..4000].($*2)) %}", 6)
    first, second = _stepped(definition, {}), _stepped(definition, {})
    assert [step.transitions for step in first] == [step.transitions for step in second]
    assert [step.work for step in first] == [step.work for step in second]
    assert all(step.transitions == 1 for step in first[:5])
    assert max(step.work for step in first) < 3 * MAX_STEP_WORK


def test_a_step_ends_when_its_states_passed_enough_data_on() -> None:
    steps = _stepped(_row("{% $states.input %}", 30), "x" * 200_000)
    assert max(step.transitions for step in steps) <= 7


@pytest.mark.parametrize(
    ("state", "light"),
    [
        ({"Type": "Pass", "Parameters": {"n.$": "$.n", "at.$": "$$.State.Name"}}, True),
        ({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.input.n + 1 %}"}, True),
        ({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $sum([1..9]) %}"}, False),
        ({"Type": "Pass", "Parameters": {"n.$": "$..n"}}, False),
        ({"Type": "Pass", "Parameters": {"n.$": "States.Format('{}', $.n)"}}, False),
        ({"Type": "Pass", "Parameters": {f"p{index}.$": "$" for index in range(17)}}, False),
        ({"Type": "Pass", "Comment": "x" * 40_000}, False),
    ],
)
def test_light_definitions_have_plain_paths_and_common_expressions_alone(
    state: dict[str, Any], light: bool
) -> None:
    assert compile_program(only(state)).light is light
