"""The public APIs as the demo uses them: the gateway's, Step Functions', the dashboard's, OTLP."""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ANSWER_SECONDS = 150
"""An upload that is handled at once is answered when all of it is done."""


class Wrong(Exception):
    """The pipeline did not do what it promises."""


class Apis:
    """Where they are: the addresses of the environment. `namespace` is the pipeline's."""

    def __init__(self, environment, namespace):
        names = ("TORPOR_GATEWAY", "TORPOR_WORKFLOWS", "TORPOR_DASHBOARD")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise Wrong(
                f"{', '.join(missing)} must be set: to what `torpor dev` prints, or a Service"
            )
        found = (environment[name].rstrip("/") for name in names)
        self.gateway, self.workflows, self.dashboard = found
        self.namespace = namespace

    def videos(self, path="", body=None, headers=None):
        """Ask the pipeline's own API; with a body it is a POST."""
        return call(f"{self.gateway}/videos{path}", body, headers)

    def snapshot(self):
        """Return what the dashboard shows, of this namespace."""
        status, _, body = call(f"{self.dashboard}/api/snapshot")
        if status != 200:
            raise Wrong(f"the dashboard answered {status}: {body[:200]!r}")
        found = json.loads(body)
        for kind in ("functions", "triggers", "runs"):
            found[kind] = [each for each in found[kind] if each["namespace"] == self.namespace]
        return found

    def trace(self, trace_id):
        """Return a trace as a list of spans with their depths, and how many are below none."""
        status, _, body = call(f"{self.dashboard}/api/traces/{trace_id}")
        found = json.loads(body) if status == 200 else {}
        return found.get("tree", []), found.get("orphans", 0)

    def states(self, action, **asked):
        """Call the execution API."""
        target = f"AWSStepFunctions.{action}"
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
        status, _, body = call(f"{self.workflows}/", json.dumps(asked).encode(), headers)
        if status != 200:
            raise Wrong(f"{action} answered {status}: {body[:200]!r}")
        return json.loads(body)

    def tell_root(self, trace_id, span_id, began, ended):
        """Tell the span that all others are below."""
        nanoseconds = [str(int(at * 1e9)) for at in (began, ended)]
        span = {"traceId": trace_id, "spanId": span_id, "name": "demo", "kind": 3}
        span |= {"startTimeUnixNano": nanoseconds[0], "endTimeUnixNano": nanoseconds[1]}
        name = {"key": "service.name", "value": {"stringValue": "demo"}}
        told = {"resource": {"attributes": [name]}, "scopeSpans": [{"spans": [span]}]}
        document = json.dumps({"resourceSpans": [told]}).encode()
        headers = {"Content-Type": "application/json"}
        status, _, body = call(f"{self.dashboard}/v1/traces", document, headers)
        if status != 200:
            raise Wrong(f"the dashboard took no span: {status} {body[:200]!r}")


def call(url, body=None, headers=None):
    """Return status, headers and body, whatever the status is."""
    if not url.startswith(("http://", "https://")):
        raise Wrong(f"{url!r} is no address")
    request = Request(url, body, headers or {})  # noqa: S310 - checked above
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - checked above
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
