"""What the end of an index's process means.

The rules are those of the Job's podFailurePolicy: exit 0 is success, 64 is bad input and fails at
once, 143 (and an end by SIGTERM, which Kubernetes tells as 143) uses up no attempt, and anything
else does.
"""

from __future__ import annotations

import signal
from enum import Enum

from torpor.functions.runs import words
from torpor.functions.runs.words import EXIT_BAD_INPUT, EXIT_STOPPED
from torpor.platform.local_output import Output

_SIGNALLED = 128


class After(Enum):
    """What becomes of an index when its process has ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ANEW = "anew"
    """It is started again, and no attempt was used up."""
    RETRY = "retry"


def judge(code: int, failures: int, retries: int) -> After:
    """Return what becomes of an index; `failures` are those before this end."""
    if code == 0:
        return After.SUCCEEDED
    if code == EXIT_STOPPED:
        return After.ANEW
    if code == EXIT_BAD_INPUT or failures >= retries:
        return After.FAILED
    return After.RETRY


def exit_code(status: int) -> int:
    """Return the exit code that a container would have; negative is a signal's number."""
    return status if status >= 0 else _SIGNALLED - status


def why(code: int, left: str, output: Output) -> str:
    """Return how an index failed: the reason that it gave, else how it ended and its last words."""
    return words.failure(_how(code), left if left.strip() else output.ending(code).last_words)


def _how(code: int) -> str:
    try:
        return f"exit code {code} ({signal.Signals(code - _SIGNALLED).name})"
    except ValueError:
        return f"exit code {code}"
