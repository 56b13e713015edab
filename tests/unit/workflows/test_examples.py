"""The workflows in examples/ do what their documents say, with the code that is beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.harness import Answer, Outcome, Player
from torpor.workflows.asl.events import Dispatch, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern, function_name

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@dataclass(frozen=True)
class Event:
    """As much of a handler's event as the examples use."""

    body: Any

    def json(self) -> Any:
        return self.body


@dataclass(frozen=True)
class Context:
    """As much of a handler's context as the examples use."""

    log: logging.Logger = field(default_factory=lambda: logging.getLogger("example"))


class Example:
    """The objects of one file: its Workflow, and its Functions as they would be called."""

    def __init__(self, path: str) -> None:
        objects = list(yaml.safe_load_all((EXAMPLES / path).read_text()))
        maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
        [self.workflow] = [o for o in objects if o["kind"] == "Workflow"]
        functions = [o for o in objects if o["kind"] == "Function"]
        self.handlers = {o["metadata"]["name"]: _handler(o["spec"], maps) for o in functions}
        self.called: list[tuple[str, Any]] = []

    def player(self) -> Player:
        return Player(self.workflow["spec"]["definition"], self._work)

    def run(self, given: Any) -> Outcome:
        return self.player().run(given)

    def names(self) -> list[str]:
        return [name for name, _ in self.called]

    def _work(self, dispatch: Dispatch) -> Answer | None:
        argument = dispatch.argument.value
        assert isinstance(argument, dict)
        name, payload = dispatch.resource.name, argument
        if not dispatch.resource.direct:
            name, payload = argument["FunctionName"], argument["Payload"]
        wanted = function_name(name or "")
        assert wanted is not None
        self.called.append((wanted, payload))
        try:
            result = self.handlers[wanted](Event(payload), Context())
        except Exception as error:
            cause = json.dumps({"errorMessage": str(error)})
            return Answer(error=type(error).__name__, cause=cause, failed=True)
        if dispatch.resource.pattern is Pattern.TASK_TOKEN:
            return None
        return Answer(result if dispatch.resource.direct else {"Payload": result})


def _handler(spec: Mapping[str, Any], maps: Mapping[str, Any]) -> Callable[..., Any]:
    module, _, name = spec["handler"].rpartition(".")
    code = spec["code"]
    source = code["inline"] if "inline" in code else maps[code["configMap"]][f"{module}.py"]
    found: dict[str, Any] = {}
    exec(source, found)
    return found[name]  # type: ignore[no-any-return]


def test_a_trip_is_booked() -> None:
    outcome = Example("saga/saga.yaml").run({"trip": "t1"})
    assert outcome.status is Status.SUCCEEDED
    assert outcome.output == {
        "trip": "t1",
        "flight": {"booking": "flight-t1"},
        "hotel": {"booking": "hotel-t1"},
        "car": {"booking": "car-t1"},
    }


@pytest.mark.parametrize(
    ("missing", "cancelled"),
    [("flight", []), ("hotel", ["flight-t1"]), ("car", ["hotel-t1", "flight-t1"])],
)
def test_what_was_booked_is_given_back_in_reverse_order(missing: str, cancelled: list[str]) -> None:
    example = Example("saga/saga.yaml")
    outcome = example.run({"trip": "t1", "soldOut": [missing]})
    assert (outcome.status, outcome.error) == (Status.FAILED, "NotBooked")
    assert example.names().count(f"book-{missing}") == 2
    given_back = [told["booking"] for name, told in example.called if name == "cancel-booking"]
    assert given_back == cancelled


def test_a_small_expense_asks_nobody() -> None:
    example = Example("approval/approval.yaml")
    outcome = example.run({"amount": 80})
    assert (outcome.status, example.names()) == (Status.SUCCEEDED, ["pay"])
    assert outcome.output == {"amount": 80, "payment": {"paid": 80}}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"approved": True}, Status.SUCCEEDED),
        ({"approved": False}, Status.FAILED),
        ({}, Status.FAILED),
    ],
)
def test_a_large_expense_waits_for_the_answer(answer: Any, status: Status) -> None:
    example = Example("approval/approval.yaml")
    player = example.player()
    player.begin({"amount": 500})
    waiting = player.play(until=player.world.now() + 86_400)
    assert (waiting.status, example.names()) == (Status.RUNNING, ["ask-person"])
    [asked] = waiting.calls
    player.later(player.world.now(), TaskSucceeded(asked.frame, asked.ticket, Payload(answer)))
    assert player.play().status is status


def test_nobody_answers_for_a_week() -> None:
    outcome = Example("approval/approval.yaml").run({"amount": 500})
    assert (outcome.status, outcome.error) == (Status.FAILED, "Refused")


def test_words_of_many_texts_are_added_up() -> None:
    example = Example("fan-out/fan-out.yaml")
    outcome = example.run({"texts": ["one two", "three", "four five six"] * 20})
    assert (outcome.status, outcome.output) == (Status.SUCCEEDED, {"texts": 60, "words": 120})
    assert outcome.most_in_flight <= 10
    assert len(example.called) == 60


def test_no_texts_have_no_words() -> None:
    outcome = Example("fan-out/fan-out.yaml").run({"texts": []})
    assert outcome.output == {"texts": 0, "words": 0}
