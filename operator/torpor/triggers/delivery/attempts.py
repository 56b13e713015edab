"""What an answer means for its events, and when they are tried again. Pure.

Defaults are those that Knative and EventBridge share: what may pass is tried again, and what will
never pass is given up at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from types import MappingProxyType

from torpor.resources.trigger import Backoff, Delivery

MAY_PASS = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""The statuses below 500 that are tried again."""
_OF_THE_WAY = frozenset(
    {
        None,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""What is answered in the place of an instance that is away, too."""
MOST_BEGUN = 20
"""How many attempts at an event may have begun and not ended until it counts as poisonous."""
MOST_BREAKS = 10
"""How many attempts that broke beside others are forgiven an event in a row."""


class Verdict(Enum):
    """What becomes of an event after an attempt."""

    DONE = "done"
    RETRY = "retry"
    GIVE_UP = "give-up"
    WAIT = "wait"
    """The target is not there, or no gateway can be reached: no attempt was used up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt. `status` is None when there was no answer.

    `error` says why it failed, and is empty when it did not. `absent`: there is no such
    target, or no gateway on the way to it. `broken`: the instance ended the connection instead of
    answering, as one does that dies.
    """

    status: int | None
    error: str = ""
    retry_after: str = ""
    absent: bool = False
    broken: bool = False
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the answer to a call of a Function that its caller did not wait for."""
    run: str = ""
    """Namespace and id of the run that it started, or had started before."""

    @property
    def ok(self) -> bool:
        """Whether the target took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def of_instance(self) -> bool:
        """Whether an instance must have given it, which therefore survived the attempt."""
        return not self.absent and self.status not in _OF_THE_WAY


def judge(answer: Answer, delivery: Delivery) -> Verdict:
    """Return what becomes of the events of an attempt, its budget left aside."""
    if answer.ok:
        return Verdict.DONE
    if answer.absent:
        return Verdict.WAIT
    if answer.status is None:
        return Verdict.RETRY
    if delivery.retry_on:
        return Verdict.RETRY if answer.status in delivery.retry_on else Verdict.GIVE_UP
    passing = answer.status >= 500 or answer.status in MAY_PASS
    return Verdict.RETRY if passing else Verdict.GIVE_UP


def pause_seconds(
    backoff: Backoff, attempt: int, chance: Callable[[], float], asked_seconds: float = 0.0
) -> float:
    """Return the pause after the attempt of this number, the first being 1.

    `chance` gives numbers from 0 to 1; `asked_seconds` is what the target asked for (Retry-After),
    honoured up to the back-off's maximum.
    """
    try:
        grown = backoff.initial_seconds * backoff.factor ** (attempt - 1)
    except OverflowError:
        grown = math.inf
    pause = min(grown, backoff.max_seconds) * (1 - backoff.jitter * chance())
    return max(pause, min(asked_seconds, backoff.max_seconds))


def retry_after_seconds(header: str, now: float) -> float:
    """Return what a Retry-After asks for (RFC 9110 section 10.2.3): seconds, or a date.

    `now` is Unix time. What cannot be understood asks for nothing.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def given_up(attempts: int, begun: int, age_seconds: float, delivery: Delivery) -> str:
    """Return why an event is not to be tried (any more), or an empty text.

    `attempts` have failed, `begun` others in a row did not come to an end, and it was stored
    `age_seconds` ago.
    """
    if attempts >= delivery.max_attempts:
        return f"{attempts} attempts failed, of {delivery.max_attempts} allowed"
    if begun >= MOST_BEGUN:
        return f"{begun} attempts began, and none came to an end"
    if age_seconds > delivery.max_age_seconds:
        return f"older than {delivery.max_age_seconds} s"
    return ""
