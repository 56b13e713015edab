"""One trace an execution, a span a task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.engine_rig import make_execution, make_machine
from torpor.workflows.engine.tracing import traceparent
from torpor.workflows.records import Execution

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def execution(header: str | None = None) -> Execution:
    return replace(make_execution(make_machine({}), {}, "e", 5.0), trace_header=header)


def test_tasks_share_the_trace_and_have_a_span_each() -> None:
    first, again, other = (traceparent(execution(), key) for key in ("a/1/1", "a/1/1", "a/2/2"))
    assert first == again
    _, trace, span, flags = first.split("-")
    assert (len(trace), len(span), flags) == (32, 16, "01")
    assert other.split("-")[1] == trace
    assert other.split("-")[2] != span


def test_executions_have_traces_of_their_own() -> None:
    later = replace(execution(), started_at=6.0)
    assert traceparent(execution(), "k").split("-")[1] != traceparent(later, "k").split("-")[1]


@pytest.mark.parametrize(
    ("header", "trace", "flags"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE, "00"),
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, "01"),
        (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            "5759e988bd862e3fe1be46a994272793",
            "01",
        ),
        (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
            "5759e988bd862e3fe1be46a994272793",
            "00",
        ),
    ],
)
def test_a_given_trace_is_continued(header: str, trace: str, flags: str) -> None:
    assert traceparent(execution(header), "k").split("-")[1::2] == [trace, flags]


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_header_that_is_none_is_left_aside(header: str) -> None:
    assert traceparent(execution(header), "k") == traceparent(execution(), "k")
