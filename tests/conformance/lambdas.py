"""Answers tasks as AWS Lambda would: the recorded cases bring the source of their functions."""

from __future__ import annotations

import json
import linecache
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

from tests.conformance.harness import Answer
from torpor.workflows.asl.events import Dispatch

_MISSING = "Lambda.ResourceNotFoundException"
HANDLER = "/var/task/handler.py"
METADATA: Mapping[str, Any] = {
    "ExecutedVersion": "$LATEST",
    "SdkHttpMetadata": {},
    "SdkResponseMetadata": {"RequestId": "RequestId"},
    "StatusCode": 200,
}


class Functions:
    """The functions of one case, run in this process."""

    def __init__(self, lambdas: Sequence[Mapping[str, Any]]) -> None:
        self.handlers = {function["name"]: _load(function) for function in lambdas}

    def __call__(self, dispatch: Dispatch) -> Answer | None:
        """Run the function that the task names; its sleep is virtual time."""
        argument = dispatch.argument.value
        payload = argument if dispatch.resource.direct else argument.get("Payload")
        if payload is None and not dispatch.resource.direct:
            payload = {}
        name = dispatch.resource.name or argument["FunctionName"].rpartition(":")[2]
        if name not in self.handlers:
            return Answer(error=_MISSING, cause=f"Function not found: {name}", failed=True)
        slept = 0.0

        def sleep(seconds: SupportsIndex | float, /) -> None:
            nonlocal slept
            slept += float(seconds)

        really, time.sleep = time.sleep, sleep
        try:
            result = _result(self.handlers[name](payload, None))
        except Exception as error:
            return Answer(**_error(error), seconds=slept, failed=True)
        finally:
            time.sleep = really
        if dispatch.resource.direct:
            return Answer(result, seconds=slept)
        extra = {"LogResult": "log"} if "LogType" in argument else {}
        return Answer({**METADATA, **extra, "Payload": result}, seconds=slept)


def _result(value: object) -> Any:
    """What Lambda's Python runtime makes of a return value: bytes are the response as it is."""
    if not isinstance(value, bytes):
        return json.loads(json.dumps(value))
    try:
        return json.loads(value)
    except ValueError:
        return value.decode()


def _error(error: Exception) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    cause = {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": "00000000-0000-4000-8000-000000000000",
        "stackTrace": [
            f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n    {frame.line}\n'
            for frame in frames
            if frame.filename == HANDLER
        ],
    }
    return {"error": type(error).__name__, "cause": json.dumps(cause, separators=(",", ":"))}


def _load(function: Mapping[str, Any]) -> Any:
    source: str = function["source"]
    linecache.cache[HANDLER] = (len(source), None, source.splitlines(keepends=True), HANDLER)
    namespace: dict[str, Any] = {"__name__": "handler"}
    exec(compile(source, HANDLER, "exec"), namespace)
    return namespace["handler"]
