"""The span of each request, told by OTLP as JSON, where the environment names an endpoint.

A request only notes what there is to tell; a thread of its own makes words of it and sends them,
once a second at most. What is too much, or not taken twice, is dropped: no request ever waits or
fails.
Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import threading
import time
from collections import deque

from torpor_runtime.trace_context import placed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torpor_runtime.event import Headers
    from torpor_runtime.trace_context import Place

MOST_SPANS = 2048
"""Spans that wait to be sent; more are dropped."""
_BATCH = 512
_SEND_SECONDS = 5.0
_AGAIN_SECONDS = 2.0
_LAST_SECONDS = 2.0
_QUIET_SECONDS = 60.0
_DELAY_SECONDS = 1.0
_SERVER_KIND = 2
_FAILED = 2


def spans_of(environment: Mapping[str, str]) -> Spans | None:
    """Return what takes spans, None where the environment does not ask for any."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return None
    protocol = _first(environment, "PROTOCOL")
    if protocol not in ("", "http/json", "http/protobuf"):
        return None  # the endpoint speaks something else, which the user's own code may do
    url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if not url and not base:
        return None
    return Spans(url or f"{base.rstrip('/')}/v1/traces", environment)


def _first(environment: Mapping[str, str], name: str) -> str:
    special = environment.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip()
    return special or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


class Spans:
    """Takes what requests have to tell, and sends it in a thread of its own."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        self._url = url
        self._headers = _first(environment, "HEADERS")
        self._certificate = _first(environment, "CERTIFICATE")
        self._function = environment.get("TORPOR_FUNCTION", "")
        self._service = environment.get("OTEL_SERVICE_NAME", "").strip() or self._function
        self._delay_seconds = _delay_seconds(environment.get("OTEL_BSP_SCHEDULE_DELAY", ""))
        self._waiting: deque[tuple[Place, str, int, str, float]] = deque()
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_cold = True
        self._dropped = 0
        self._quiet_until = 0.0

    def begin(self, headers: Headers) -> Place:
        """Return the place of a request, whose headers name it from now on."""
        place = placed(headers)
        place.is_cold, self._is_cold = self._is_cold, False
        return place

    def end(self, place: Place, request_id: str, status: int, error: str) -> None:
        """Note that a request was answered, with `error` empty if nothing went wrong."""
        if not place.is_sampled:
            return
        if len(self._waiting) >= MOST_SPANS:
            self._dropped += 1
            return
        self._waiting.append((place, request_id, status, error, time.time()))
        if not self._news.is_set():
            self._wake()

    def flush(self, seconds: float = _LAST_SECONDS) -> None:
        """Send what waits, for at most so long: the process ends."""
        if self._thread is None:
            return
        self._ending.set()
        self._news.set()
        self._thread.join(seconds)

    def _wake(self) -> None:
        self._news.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="spans", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads: the next request tries again
                self._news.clear()
                return
            self._thread = thread

    def _run(self) -> None:
        from torpor_runtime.spans_sending import Sender

        sender = Sender(self._url, self._headers, self._certificate, _SEND_SECONDS)
        while True:
            self._news.wait()
            self._ending.wait(self._delay_seconds)
            self._news.clear()  # before looking: what comes from now on wakes it again
            while self._waiting:
                self._send(sender)
            if self._ending.is_set():
                return

    def _send(self, sender: Any) -> None:
        noted = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        spans = [self._told(*each) for each in noted]
        problem, may_pass = sender.sent(spans, self._service)
        if may_pass and not self._ending.is_set():
            self._ending.wait(_AGAIN_SECONDS)
            problem, _ = sender.sent(spans, self._service)
        self._dropped += len(noted) if problem else 0
        if self._dropped and time.monotonic() >= self._quiet_until:
            from torpor_runtime.logs import write_line

            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            why = problem or f"more than {MOST_SPANS} waited"
            write_line("warning", f"{self._dropped} spans were not taken: {why}", logger="torpor")
            self._dropped = 0

    def _told(
        self, place: Place, request_id: str, status: int, error: str, ended: float
    ) -> dict[str, Any]:
        attributes: dict[str, str | int | bool] = {
            "torpor.function": self._function,
            "torpor.request_id": request_id,
            "http.response.status_code": status,
            "faas.coldstart": place.is_cold,
        }
        if error:
            attributes["error.type"] = error
        return {
            "traceId": place.trace_id,
            "spanId": place.span_id,
            "parentSpanId": place.parent_id,
            "name": self._function,
            "kind": _SERVER_KIND,
            "startTimeUnixNano": str(int(place.began * 1e9)),
            "endTimeUnixNano": str(int(max(place.began, ended) * 1e9)),
            "attributes": [_pair(name, value) for name, value in attributes.items()],
            "status": {"code": _FAILED, "message": error} if error else {},
        }


def _delay_seconds(milliseconds: str) -> float:
    """Return how long spans are collected; what is no number must not keep a function from work."""
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else _DELAY_SECONDS


def _pair(name: str, value: str | int | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": name, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}
    return {"key": name, "value": {"stringValue": value}}
