"""Where the span of a held request is in its trace, and which have none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from torpor.gateway.dataplane.base import Refused
from torpor.gateway.heldspans import HeldSpans, Trace, told_of
from torpor.resources.names import FunctionKey
from torpor.telemetry.tracing import Kind, Span

KEY = FunctionKey("shop", "echo")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
OWN = "1111111111111111"


def told(traceparent: str, *, begun: bool = False) -> list[Span]:
    spans: list[Span] = []
    held = HeldSpans(spans.append, wall=lambda: 12.5, new_id=lambda: OWN)
    held.tell(KEY, Trace(traceparent, begun=begun), 10.0, "hold-timeout", {"torpor.hold": "first"})
    return spans


def test_a_hold_is_below_its_callers_span() -> None:
    attributes = {"torpor.function": "shop/echo", "torpor.hold": "first"}
    assert told(f"00-{TRACE}-{CALLER}-01") == [
        Span(
            *(TRACE, OWN, CALLER, "hold shop/echo", Kind.INTERNAL),
            *(10.0, 12.5, "hold-timeout", attributes),
        )
    ]


def test_a_hold_that_begins_a_trace_is_what_the_function_was_told_of() -> None:
    [span] = told(f"00-{TRACE}-{CALLER}-01", begun=True)
    assert (span.span_id, span.parent_span_id) == (CALLER, None)


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{TRACE}-{CALLER}-00",
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{CALLER}",
        "-",
    ],
)
def test_what_is_not_sampled_or_no_trace_is_not_told(traceparent: str) -> None:
    assert told(traceparent) == []


def test_nothing_is_told_where_no_traces_are_sent() -> None:
    place = Trace(f"00-{TRACE}-{CALLER}-01", begun=False)
    assert HeldSpans(None).tell(KEY, place, 0.0, None, {}) is None  # type: ignore[func-returns-value]


def test_a_hold_tells_how_it_ended() -> None:
    own = {"torpor.request_id": "r1", "torpor.hold": "first"}
    assert told_of(None, "r1", "first") == ("abandoned", own)
    refused = Refused(503, "hold-full", "too many wait")
    assert told_of(refused, "r1", "first") == (
        "hold-full",
        {**own, "http.response.status_code": 503},
    )
    woke = SimpleNamespace(phases={"decide": 3.4, "start": 120.6})
    assert told_of(woke, "r1", "first") == (
        None,
        {**own, "torpor.cold_start.decide_ms": 3, "torpor.cold_start.start_ms": 121},
    )
