"""`torpor workflow validate`: every problem of every definition, with its place; no engine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.cli import output
from torpor.cli.workflow.files import BadFile, Found, read_definitions
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.problem import InvalidDefinition, Problem, Severity
from torpor.workflows.asl.validate import MachineType, check_definition
from torpor.workflows.engine.integrations.supported import refuse_resource

BAD_FILE = 2
"""Exit status for a file that cannot be read or holds no definition."""
_MANIFEST = "INVALID_WORKFLOW"
"""The code of what is wrong with a Workflow outside of its definition."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A definition and all that was found in it."""

    found: Found
    problems: tuple[Problem, ...]

    @property
    def valid(self) -> bool:
        """Whether it would be accepted: warnings do not count."""
        return not any(problem.severity is Severity.ERROR for problem in self.problems)


async def validate(args: argparse.Namespace) -> int:
    """Print what is wrong; 0 without errors, 1 with, 2 if a file could not be understood at all."""
    try:
        found = read_definitions(args.files)
    except BadFile as error:
        for line in str(error).splitlines():
            print(f"torpor workflow: {line}", file=sys.stderr)
        return BAD_FILE
    checked = [check(item, args.type) for item in found]
    if args.output == "table":
        print("\n".join(line for item in checked for line in lines(item)))
    else:
        print(output.document([as_value(item) for item in checked], args.output))
    return int(not all(item.valid for item in checked))


def check(found: Found, bare_type: str = "STANDARD") -> Checked:
    """Check one definition, and the Workflow around it."""
    wrong = tuple(_manifest_problem(text) for text in found.wrong)
    if wrong and not found.text:
        return Checked(found, wrong)
    return Checked(found, wrong + definition_problems(found.text, found.type or bare_type))


def definition_problems(text: str, machine_type: str) -> tuple[Problem, ...]:
    """Every problem of a definition's text, warnings included."""
    kind = MachineType.EXPRESS if machine_type == MachineType.EXPRESS else MachineType.STANDARD
    problems = check_definition(
        text, machine_type=kind, severity=Severity.WARNING, refuse_resource=refuse_resource
    )
    if any(problem.severity is Severity.ERROR for problem in problems):
        return problems
    try:
        compile_program(json.loads(text))
    except InvalidDefinition as error:
        return (*error.problems, *problems)
    return problems


def _manifest_problem(text: str) -> Problem:
    place, colon, what = text.partition(": ")
    return Problem(_MANIFEST, what if colon else text, place if colon else "")


def lines(checked: Checked) -> Iterator[str]:
    """One line for each problem and one that sums up; only the latter where all is well."""
    label = checked.found.label
    for problem in checked.problems:
        where = f" at {problem.location}" if problem.location else ""
        severity = problem.severity.lower()
        yield f"{label}: {severity}{where}: {problem.message} ({problem.code})"
    yield f"{label}: {_summary(checked)}"


def _summary(checked: Checked) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in checked.problems)
    warnings = len(checked.problems) - errors
    if not checked.problems:
        return f"valid, {_plural(_count(json.loads(checked.found.text)), 'state')}"
    counts = [(errors, "error"), (warnings, "warning")]
    told = ", ".join(_plural(count, word) for count, word in counts if count)
    return f"{'not valid' if errors else 'valid'}, {told}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s'[: count != 1]}"


def _count(definition: Mapping[str, Any]) -> int:
    """How many states there are, those of branches and processors included."""
    states = definition["States"].values()
    inner = [block for state in states for block in state.get("Branches", ())]
    inner += [
        state[name] for state in states for name in ("ItemProcessor", "Iterator") if name in state
    ]
    return len(states) + sum(map(_count, inner))


def as_value(checked: Checked) -> dict[str, Any]:
    """The same for programs."""
    return {
        "file": checked.found.file,
        "workflow": checked.found.name,
        "valid": checked.valid,
        "problems": [
            {
                "severity": problem.severity.value,
                "code": problem.code,
                "location": problem.location,
                "message": problem.message,
            }
            for problem in checked.problems
        ],
    }
