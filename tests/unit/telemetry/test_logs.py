"""The lines that roles log."""

from __future__ import annotations

import json
import logging

from torpor.telemetry.logs import JsonFormatter, Seldom, bound

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def line(**fields: str) -> dict[str, object]:
    record = logging.LogRecord("torpor.x", logging.INFO, "x.py", 1, "done %s", ("it",), None)
    record.fields = fields
    found: dict[str, object] = json.loads(JsonFormatter("engine").format(record))
    return found


def test_a_line_has_its_fields_and_those_of_its_task() -> None:
    with bound(run="r-1"):
        found = line(state="Pay")
    assert (found["role"], found["msg"], found["run"], found["state"]) == (
        "engine",
        "done it",
        "r-1",
        "Pay",
    )


def test_a_line_with_a_traceparent_can_be_found_by_the_traces_id() -> None:
    assert line(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")["trace_id"] == TRACE
    assert "trace_id" not in line()


def test_what_happens_again_and_again_is_logged_once_in_so_many_seconds() -> None:
    times = iter((0.0, 30.0, 59.9, 60.0, 61.0, 61.0))
    seldom = Seldom(lambda: next(times), 60.0)
    assert [seldom.due() for _ in range(5)] == [True, False, False, True, False]
    seldom.forget()
    assert seldom.due()
