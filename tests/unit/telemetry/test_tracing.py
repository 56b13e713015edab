"""When traces are sent, and what becomes of spans that cannot be."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.collector import collector
from torpor.telemetry.metrics import REGISTRY
from torpor.telemetry.otlp import MOST_SPANS
from torpor.telemetry.tracing import Kind, Span, exporting, is_configured

TO = "http://collector:4318"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": TO}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{TO}/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": TO, "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": TO, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": TO}, False),
    ],
)
def test_the_standard_variables_say_whether(environment: Mapping[str, str], sent: bool) -> None:
    assert is_configured(environment) is sent


async def test_without_an_endpoint_there_is_nothing_to_emit_to() -> None:
    async with exporting("torpor-test") as emit:
        assert emit is None


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, torpor.workflows.engine.role, torpor.dev.session\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


async def test_a_protocol_that_is_not_spoken_is_said_and_nothing_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", TO)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with caplog.at_level(logging.WARNING):
        async with exporting("torpor-test") as emit:
            assert emit is None
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in caplog.text


async def test_more_spans_than_may_wait_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full, stopped = dropped("queue_full"), dropped("stopped")
    with socket.socket() as silent:  # takes connections and answers none
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        async with exporting("torpor-test", seconds=0.2) as emit:
            assert emit is not None
            for number in range(MOST_SPANS + 7):
                emit(span(number))
        assert dropped("queue_full") - full == 7
        assert dropped("stopped") - stopped == MOST_SPANS


async def test_a_name_that_cannot_be_sent_costs_no_other_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collector() as to:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with exporting("torpor-test") as emit:
            assert emit is not None
            emit(replace(span(1), name="\ud800", error="e" * 100_000))
            emit(span(2))
        assert [(told.name, len(told.error or "")) for told in to.spans] == [("?", 1024), ("s", 0)]
        assert {told.service for told in to.spans} == {"torpor-test"}


def span(number: int) -> Span:
    return Span(
        "a" * 32, f"{number + 1:016x}", None, "s", Kind.CLIENT, 1.0, 2.0, None, {"n": number}
    )


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("torpor_trace_spans_dropped_total", {"reason": reason}) or 0.0
