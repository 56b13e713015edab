"""What statelint finds in its own definitions: validity, the number of problems, and their subject.

The wording here is AWS's, so each of statelint's phrases is looked for in the words that AWS has
for the same thing.
"""

from __future__ import annotations

import re

from tests.conformance.recorded import Case, needed
from torpor.workflows.asl.problem import Problem
from torpor.workflows.asl.validate import check_definition

_PHRASES = (
    (r"may have only one of \[(.*)\]", r"There should only be one of the following fields: [\1]"),
    (r"not one of the allowed values \[(.*)\]", r"Value is not one of: [\1]"),
    (r"allowed minimum is (\d+)", r"Minimum value is \1"),
    (r"allowed floor is 0", "Minimum value is 1"),
    (
        "not a JSONPath or intrinsic function expression",
        "must be a valid JSONPath or a valid intrinsic function call",
    ),
)


def test_statelint_and_this_validator_agree() -> None:
    rows = needed("asl/lint.jsonl")
    wrong = [difference for row in rows if (difference := _difference(row))]
    print(f"asl lint: {len(rows) - len(wrong)} of {len(rows)}")
    assert wrong == []


def _difference(row: Case) -> str | None:
    problems = check_definition(row["definition_text"])
    agrees = (
        (not problems) == row["valid"]
        and len(problems) == row["problems"]
        and all(_is_about(problems, message) for message in row["messages"])
    )
    return None if agrees else f"{row['id']}: {row['messages']} {[str(p) for p in problems]}"


def _is_about(problems: tuple[Problem, ...], message: str) -> bool:
    plain = message.replace('"', "")
    for theirs, ours in _PHRASES:
        plain = re.sub(theirs, ours, plain)
    return any(plain in str(problem) for problem in problems)
