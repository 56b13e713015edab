"""What the end of an index's process means, and what it left behind.

The rules are those of the Job's podFailurePolicy: exit 0 is success, 64 is bad input and fails at
once, 143 (and an end by SIGTERM, which Kubernetes tells as 143) uses up no attempt, and anything
else does.
"""

from __future__ import annotations

import signal
from enum import Enum
from typing import Any

import orjson

from torpor.functions.runs.job import EXIT_BAD_INPUT, EXIT_STOPPED
from torpor.platform.local_output import Output

_SIGNALLED = 128
_MOST_MESSAGE_CHARACTERS = 500


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


def result_of(left: bytes) -> Any:
    """Return the result that a program left: JSON, else a text; None if it left nothing."""
    text = left.decode(errors="replace")
    if not text.strip():
        return None
    try:
        value = orjson.loads(text)
        orjson.dumps(value)  # reads what is nested deeper than it writes
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text
    return value


def why(code: int, left: bytes, output: Output) -> str:
    """Return how an index failed: the reason that it gave, else how it ended and its last words."""
    found = result_of(left)
    if isinstance(found, dict) and found.get("error"):
        return str(found["error"])[:_MOST_MESSAGE_CHARACTERS]
    said = found.strip() if isinstance(found, str) else output.ending(code).last_words
    return (f"{_how(code)}: {said}" if said else _how(code))[:_MOST_MESSAGE_CHARACTERS]


def _how(code: int) -> str:
    try:
        return f"exit code {code} ({signal.Signals(code - _SIGNALLED).name})"
    except ValueError:
        return f"exit code {code}"
