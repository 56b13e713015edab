"""The definitions of five articles as they stand: what comes out, and what was called."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.conformance.harness import Answer, Outcome, Player
from tests.conformance.played import comparer
from tests.conformance.recorded import Case, needed
from torpor.workflows.asl.events import Dispatch
from torpor.workflows.asl.resource import function_name


class _Script:
    """Functions that answer what a case says, in turn; the last answer is repeated."""

    def __init__(self, functions: dict[str, list[dict[str, Any]]]) -> None:
        self.functions = functions
        self.calls: list[str] = []
        self._asked: dict[str, int] = defaultdict(int)

    def __call__(self, dispatch: Dispatch) -> Answer:
        name = _function(dispatch)
        answers = self.functions[name]
        answer = answers[min(self._asked[name], len(answers) - 1)]
        self._asked[name] += 1
        self.calls.append(name)
        if "error" in answer:
            cause = answer.get("message")
            return Answer(error=answer["error"], cause=cause, seconds=0.5, failed=True)
        if answer.get("echo"):
            return Answer(dispatch.argument.value, seconds=0.5)
        return Answer(answer.get("return", answer.get("send_task_success")), seconds=0.5)


def _function(dispatch: Dispatch) -> str:
    named = dispatch.resource.name or dispatch.argument.value["FunctionName"]
    return function_name(named) or named


def test_the_articles_definitions_do_what_they_say() -> None:
    rows = needed("asl/articles.jsonl")
    wrong = {row["id"]: found for row in rows if (found := _differences(row))}
    print(f"asl articles: {len(rows) - len(wrong)} of {len(rows)}")
    for name, found in wrong.items():
        print(f"  not the same: {name}: {found}")
    assert wrong == {}


def _differences(case: Case) -> list[str]:
    script = _Script(case["functions"])
    outcome = Player(case["definition"], script).run(case["input"])
    same, why = (
        comparer().matches(case, str(outcome.status), outcome.output, outcome.error, outcome.cause)
        if "expected_output" in case
        else (str(outcome.status) == case["expected_status"], "status")
    )
    found = [] if same else [why]
    return found + _course_differences(case, script, outcome)


def _course_differences(case: Case, script: _Script, outcome: Outcome) -> list[str]:
    pairs = {
        "error": outcome.error,
        "expected_calls": script.calls,
        "waits_seconds": outcome.waits,
        "max_in_flight": outcome.most_in_flight,
    }
    return [
        f"{name}: {ours} is not {case[name]}"
        for name, ours in pairs.items()
        if name in case and ours != case[name]
    ]
