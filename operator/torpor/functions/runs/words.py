"""What a run's end is told in, the same in a cluster and in `torpor dev`. Pure.

Kubernetes cuts what a program left after 4096 bytes without a word, so a result that fills them and
is no whole JSON is none: half a document must not pass for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from torpor.resources.run import MAX_RESULT_BYTES, RunState

EXIT_BAD_INPUT: Final = 64
"""EX_USAGE (sysexits.h): the input is bad, and trying again would not help."""
EXIT_STOPPED: Final = 143
"""128 + SIGTERM: only a program that heard SIGTERM and stopped by itself exits so."""
MAX_MESSAGE: Final = 1000
RESULT_TOO_LARGE: Final = "ResultTooLarge"
CUT_RESULT: Final = (
    f"a result is over {MAX_RESULT_BYTES} bytes and was cut: have the program store it, "
    "and give where it is"
)
_NAMED_FAILURES = 3


def result_of(text: str) -> Any:
    """Return the result that a program left: JSON, else the text itself; None for nothing."""
    if not text.strip():
        return None
    try:
        value = orjson.loads(text)
        orjson.dumps(value)  # reads what is nested deeper than it writes
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text
    return value


def is_cut(text: str) -> bool:
    """Whether what a program left may be only the beginning of what it wrote."""
    return len(text.encode()) >= MAX_RESULT_BYTES and result_of(text) is text


def failure(how: str, text: str) -> str:
    """Return how a program failed that left `text`: its own reason, else `how` and the text."""
    said = result_of(text)
    if isinstance(said, Mapping) and said.get("error"):
        return str(said["error"])[:MAX_MESSAGE]
    return (f"{how}: {text.strip()}" if text.strip() else how)[:MAX_MESSAGE]


def failures(texts: Sequence[tuple[int, str]], total: int) -> str:
    """Return how a run of `total` indexes failed: index and reason of each that did."""
    named = [
        text if total == 1 else f"index {index}: {text}" for index, text in texts[:_NAMED_FAILURES]
    ]
    more = len(texts) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])


def too_late(timeout_seconds: float) -> tuple[str, str]:
    """Return reason and message of a run whose time was over."""
    text = f"it took longer than job.timeoutSeconds, which is {timeout_seconds:.15g}"
    return "DeadlineExceeded", text


def cancelled(at: str) -> tuple[str, str]:
    """Return reason and message of a run that was cancelled at this time."""
    return RunState.CANCELLED.value, f"it was cancelled at {at}"
