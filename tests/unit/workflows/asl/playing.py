"""Small definitions and scripted workers for the tests of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conformance.harness import Answer
from torpor.workflows.asl.events import Dispatch

FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:{}"

Fields = dict[str, Any]


def machine(first: str, states: Fields, **fields: Any) -> Fields:
    """A definition that starts at a state."""
    return {"StartAt": first, "States": states, **fields}


def only(state: Fields, **fields: Any) -> Fields:
    """A definition of one state, named Only, that ends it."""
    return machine(
        "Only", {"Only": state if state["Type"] == "Fail" else {**state, "End": True}}, **fields
    )


def task(name: str = "work", **fields: Any) -> Fields:
    """A Task that calls a function."""
    return {"Type": "Task", "Resource": FUNCTION.format(name), **fields}


def failure(error: str, cause: str | None = None, seconds: float = 0.0) -> Answer:
    """The answer of a task that failed."""
    return Answer(error=error, cause=cause, seconds=seconds, failed=True)


class Script:
    """A worker that gives answers in turn; the last one is repeated."""

    def __init__(self, *answers: Answer | None) -> None:
        self.answers: Sequence[Answer | None] = answers
        self.asked = 0

    def __call__(self, dispatch: Dispatch) -> Answer | None:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return answer


class ByName:
    """A worker with one answer a function."""

    def __init__(self, **answers: Answer | None) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def __call__(self, dispatch: Dispatch) -> Answer | None:
        name = dispatch.resource.name or ""
        self.calls.append(name)
        return self.answers[name]


def echo(dispatch: Dispatch) -> Answer:
    """A worker that gives back what it was given."""
    return Answer(dispatch.argument.value)
