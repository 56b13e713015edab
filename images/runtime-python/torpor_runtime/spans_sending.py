"""Posts spans to an OTLP endpoint as JSON; imported by the thread that does so alone."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

_PASSING = frozenset((429, 502, 503, 504))


class Sender:
    """Posts to `url`; `headers` are OpenTelemetry's `name=value,…`, `certificate` a file of CAs."""

    def __init__(self, url: str, headers: str, certificate: str, timeout_seconds: float) -> None:
        self._url = urlsplit(url)
        self._certificate = certificate
        self._timeout_seconds = timeout_seconds
        pairs = (pair.partition("=") for pair in headers.split(",") if "=" in pair)
        self._headers = {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}

    def sent(self, spans: list[dict[str, Any]], service: str) -> tuple[str, bool]:
        """Send spans of `service`; return why they were not taken, empty if they were.

        And whether it may be otherwise a little later (OTLP/HTTP, "Retryable Response Codes").
        """
        body = json.dumps(
            {
                "resourceSpans": [
                    {
                        "resource": {
                            "attributes": [
                                {"key": "service.name", "value": {"stringValue": service}}
                            ]
                        },
                        "scopeSpans": [{"scope": {"name": "torpor-runtime"}, "spans": spans}],
                    }
                ]
            }
        )
        try:
            return self._posted(body.encode())
        except (OSError, ValueError, http.client.HTTPException) as error:
            problem = f"{self._url.netloc}: {str(error) or type(error).__name__}"
            return problem, not isinstance(error, ValueError)

    def _posted(self, body: bytes) -> tuple[str, bool]:
        connection = self._connection()
        try:
            path = self._url.path or "/"
            query = f"?{self._url.query}" if self._url.query else ""
            headers = {**self._headers, "Content-Type": "application/json"}
            connection.request("POST", path + query, body, headers)
            status = connection.getresponse().status
            problem = "" if 200 <= status < 300 else f"{self._url.netloc}: {status}"
            return problem, status in _PASSING
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
        trust = ssl.create_default_context(cafile=self._certificate or None)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=trust)
