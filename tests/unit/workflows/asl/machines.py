"""Builders of definitions for tests: the smallest machine around what a test is about."""

from __future__ import annotations

from typing import Any

Definition = dict[str, Any]


def machine(**states: Definition) -> Definition:
    """A machine that starts at the first of its states."""
    return {"StartAt": next(iter(states)), "States": states}


def single(kind: str, **fields: Any) -> Definition:
    """A machine of one state, S, that ends unless its type always does; None leaves a field out."""
    ending = {} if kind in ("Choice", "Succeed", "Fail") else {"End": True}
    state = {"Type": kind, **ending, **fields}
    return machine(S={name: value for name, value in state.items() if value is not ...})


def in_jsonata(definition: Definition) -> Definition:
    """The same machine with JSONata as its query language."""
    return {"QueryLanguage": "JSONata", **definition}


DONE: Definition = {"Type": "Succeed"}
TASK: Definition = {"Type": "Task", "Resource": "arn:aws:lambda:ship", "End": True}
