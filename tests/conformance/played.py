"""Plays recorded executions and compares them with the comparer that comes with the recordings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from tests.conformance.harness import Outcome, Player, no_worker
from tests.conformance.lambdas import Functions
from tests.conformance.recorded import Case, folder
from torpor.workflows.asl.payload import Payload


def play(case: Case) -> Outcome:
    """The outcome of a recorded execution; one that was ABORTED was stopped while it waited."""
    worker = Functions(case["lambdas"]) if case.get("lambdas") else no_worker
    player = Player(case["definition"], worker, name=case.get("execution_name") or "execution")
    player.begin(case["input"])
    return player.stop() if case["expected_status"] == "ABORTED" else player.play()


@cache
def comparer() -> ModuleType:
    """The comparer in the folder of the recordings."""
    spec = importlib.util.spec_from_file_location("asl_compare", folder() / "asl_compare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(case: Case, outcome: Outcome) -> str | None:
    """In what an outcome differs from the recorded one, None in nothing."""
    matches: Callable[..., tuple[bool, str]] = comparer().matches
    same, why = matches(case, str(outcome.status), outcome.output, outcome.error, outcome.cause)
    return None if same else why


def as_recorded(case: Case, details: dict[str, Any]) -> Any:
    """The details of an event as the recorder stored them."""
    plain = {name: _plain(value) for name, value in details.items()}
    return comparer().sub(plain, case.get("replacements") or [])


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Payload) else value
