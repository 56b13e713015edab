"""What the doctor says: what is wrong, why it matters, and the command that mends it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from torpor.cli.output import printable


class Grade(StrEnum):
    """How much a finding matters."""

    PROBLEM = "problem"
    """Something does not work; the exit status is 1."""
    ADVICE = "advice"
    """It works, but could be better, or will not for long."""
    UNKNOWN = "unknown"
    """It could not be found out, by us or at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing; `check` is what was looked at, `command` may be a sentence where none mends it."""

    grade: Grade
    check: str
    what: str
    why: str
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def in_words(findings: Sequence[Finding], checks: int) -> str:
    """Return all findings as text, problems first, with how many checks were made."""
    order = list(Grade)
    parts = [_words(it) for it in sorted(findings, key=lambda it: order.index(it.grade))]
    problems = sum(it.grade is Grade.PROBLEM for it in findings)
    told = {0: "nothing is broken", 1: "1 problem"}.get(problems, f"{problems} problems")
    found = len({it.check for it in findings})
    return "\n\n".join([*parts, f"{told}; {checks - found} of {checks} checks found nothing"])


def _words(finding: Finding) -> str:
    what, why, command = map(printable, (finding.what, finding.why, finding.command))
    return f"{finding.grade}: {what}\n  why   {why}\n  do    {command}"
