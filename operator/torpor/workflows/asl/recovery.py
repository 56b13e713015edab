"""Retry and Catch: which rule handles an error, and how long a retry waits (ASL, "Errors")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.template import Template

MAX_INTERVAL_SECONDS = 31_536_000.0
"""A retry never waits longer than a year, whatever its back-off rate says."""


@dataclass(frozen=True, slots=True)
class Retrier:
    """One rule of Retry; intervals in seconds, `max_attempts` counts retries, not runs."""

    errors: tuple[str, ...]
    interval: float = 1.0
    max_attempts: int = 3
    backoff_rate: float = 2.0
    max_delay: float | None = None
    full_jitter: bool = False

    def delay(self, retries_done: int, chance: float) -> float:
        """Seconds until the next retry, after `retries_done` earlier ones of this rule.

        `chance` in [0, 1) picks the moment when JitterStrategy is FULL.
        """
        try:
            delay = self.interval * self.backoff_rate**retries_done
        except OverflowError:
            delay = MAX_INTERVAL_SECONDS
        delay = min(delay, MAX_INTERVAL_SECONDS if self.max_delay is None else self.max_delay)
        return delay * chance if self.full_jitter else delay


@dataclass(frozen=True, slots=True)
class Catcher:
    """One rule of Catch: where an execution goes on after an error, and with what."""

    errors: tuple[str, ...]
    next: str
    result_path: str | None
    assign: Template | None
    output: Template | None


def matches(errors: Sequence[str], error: str | None) -> bool:
    """Whether a rule's ErrorEquals matches an error.

    States.ALL matches every error, States.TaskFailed every one but time-outs, States.Timeout also a
    missed heartbeat. States.Runtime is matched by no rule at all.
    """
    if error == fault.RUNTIME:
        return False
    if error is not None and error in errors:
        return True
    if error == fault.HEARTBEAT_TIMEOUT and fault.TIMEOUT in errors:
        return True
    if fault.TASK_FAILED in errors and error not in (fault.TIMEOUT, fault.HEARTBEAT_TIMEOUT):
        return True
    return "States.ALL" in errors


def find_retrier(retriers: Sequence[Retrier], failure: Fault) -> int | None:
    """The index of the rule that this failure belongs to, or None."""
    for index, retrier in enumerate(retriers):
        if matches(retrier.errors, failure.error):
            return index
    return None


def find_catcher(catchers: Sequence[Catcher], failure: Fault) -> Catcher | None:
    """The first rule that catches this failure, or None."""
    for catcher in catchers:
        if matches(catcher.errors, failure.error):
            return catcher
    return None


def error_output(failure: Fault) -> dict[str, str]:
    """The Error Output (ASL, "Error output"): what a Catch passes on."""
    return {"Error": failure.error or "", "Cause": failure.cause or ""}
