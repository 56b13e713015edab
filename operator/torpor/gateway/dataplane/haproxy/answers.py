"""What HAProxy answers by itself, without a function and without Python, and how it counts that.

A request that HAProxy's parser refuses, malformed (400) or late (408), gets a fixed page of
HAProxy's: no directive reaches it. All else is a problem (RFC 9457). HAProxy counts its answers by
status in variables of its process, and bad requests in the statistics of the doors. Pure.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torpor.resources.problem import problem_details

CONTENT_TYPE = "application/problem+json"
ID = "%[var(txn.id)]"
"""The request's id in HAProxy's words."""
TOLD = "txn.told"
"""The variable that is set when a function, another gateway or Python gave an error's answer."""

FULL_MARK = "X-Torpor-Full"
"""Tells `FULL` from other 503s on its way to the counting rules, which take it off."""

_VALUE = re.compile(r"value=<(\d+)>")
_DOORS = ("in", "peer")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status, the code in the problem, and what it says to people."""

    status: int
    code: str
    detail: str

    def text(self) -> str:
        """Return the problem, with the request's id for HAProxy to fill in."""
        return problem(self.status, self.code, self.detail, ID)


BAD_REQUEST = Answer(400, "bad-request", "The request is malformed.")
UNKNOWN = Answer(404, "unknown-function", "No function has this address.")
NOT_ALLOWED = Answer(405, "method-not-allowed", "This address does not take the method.")
OVER_RESERVED = Answer(
    429, "reserved-concurrency", "The function has as many requests as reservedConcurrency allows."
)
INTERNAL = Answer(500, "internal", "The gateway could not handle the request.")
BAD_RESPONSE = Answer(
    502, "bad-gateway", "The function ended the connection or broke the protocol."
)
UNAVAILABLE = Answer(503, "unavailable", "The function did not take the request in time.")
REFUSING = Answer(503, "unavailable", "The instances of the function keep refusing connections.")
FULL = Answer(503, "hold-full", "Too many requests are in the function, or wait for it.")
TIMEOUT = Answer(504, "timeout", "The function did not answer in time.")

ERRORS = (BAD_REQUEST, INTERNAL, BAD_RESPONSE, UNAVAILABLE, TIMEOUT)
"""Those for which HAProxy has a page of its own that these replace."""
_BY_STATUS = (UNKNOWN, OVER_RESERVED, INTERNAL, BAD_RESPONSE, UNAVAILABLE, TIMEOUT)
_COUNTED = (*_BY_STATUS, FULL)
# After what cannot be understood, nothing on the connection can be trusted.
_HEADERS = {
    BAD_REQUEST: " hdr Connection close",
    UNAVAILABLE: " hdr Retry-After 1",
}


def problem(status: int, code: str, detail: str, request_id: str) -> str:
    """Return a problem details object (RFC 9457) in one line."""
    body = {**problem_details(status, code, detail), "requestId": request_id}
    return json.dumps(body, separators=(",", ":"))


def error_lines() -> str:
    """Return the directives that replace HAProxy's own pages."""
    return "\n".join(_error(answer) for answer in ERRORS)


def counter_lines() -> str:
    """Return the global directives that begin the counts."""
    return "\n".join(f"  set-var {_variable(answer)} int(0)" for answer in _COUNTED)


def counting_rules() -> str:
    """Return the rules of a door that count what HAProxy answers there by itself; the last ones."""
    rules = "\n".join(_count(answer, f"{{ status {answer.status} }}") for answer in _BY_STATUS)
    return f"""\
  http-response set-var({TOLD}) bool(true) if {{ status ge 400 }}
  http-after-response allow if {{ status lt 400 }}
  http-after-response allow if {{ var({TOLD}) -m found }}
{_count(FULL, _MARKED)}
  http-after-response set-var({TOLD}) bool(true) if {_MARKED}
  http-after-response del-header {FULL_MARK} if {_MARKED}
  http-after-response allow if {{ var({TOLD}) -m found }}
{rules}"""


def count_commands() -> list[str]:
    """Return the commands whose answers `counts` reads."""
    variables = [f"get var {_variable(answer)}" for answer in _COUNTED]
    return [*variables, *(f"show stat {door} 1 -1" for door in _DOORS)]


def counts(said: Sequence[str]) -> Mapping[str, int]:
    """Return how often HAProxy answered by itself since it started, by the problem's code."""
    found: Counter[str] = Counter()
    for answer, text in zip(_COUNTED, said, strict=False):
        value = _VALUE.search(text)
        found[answer.code] += int(value[1]) if value else 0
    found[BAD_REQUEST.code] += sum(_bad_requests(text) for text in said[len(_COUNTED) :])
    return found


def _bad_requests(text: str) -> int:
    head, _, body = text.partition("\n")
    row = dict(zip(head.removeprefix("# ").split(","), body.split(","), strict=False))
    return int(row.get("ereq") or 0) + int(row.get("dreq") or 0)


_MARKED = f"{{ res.hdr({FULL_MARK}) -m found }}"


def _count(answer: Answer, condition: str) -> str:
    name = _variable(answer)
    return f"  http-after-response set-var({name}) var({name}),add(1) if {condition}"


def _variable(answer: Answer) -> str:
    return f"proc.own_{answer.code.replace('-', '_')}"


def _error(answer: Answer) -> str:
    headers = _HEADERS.get(answer, "")
    return (
        f"  http-error status {answer.status} content-type {CONTENT_TYPE}{headers}"
        f" lf-string '{answer.text()}'"
    )
