"""Answers tasks as AWS Lambda would: the recorded cases bring the source of their functions."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from tests.conformance.harness import Answer
from torpor.workflows.asl.events import Dispatch

METADATA: Mapping[str, Any] = {
    "ExecutedVersion": "$LATEST",
    "SdkHttpMetadata": {},
    "SdkResponseMetadata": {"RequestId": "RequestId"},
    "StatusCode": 200,
}


class Functions:
    """The functions of one case, run in this process."""

    def __init__(self, lambdas: Sequence[Mapping[str, Any]]) -> None:
        self.handlers = [_load(function) for function in lambdas]

    def __call__(self, dispatch: Dispatch) -> Answer | None:
        """Run the only function of the case; its sleep is virtual time."""
        argument = dispatch.argument.value
        payload = argument if dispatch.resource.direct else argument.get("Payload")
        payload = {} if payload is None else payload
        slept = 0.0

        def sleep(seconds: float) -> None:
            nonlocal slept
            slept += seconds

        really, time.sleep = time.sleep, sleep
        try:
            result = _result(self.handlers[0](payload, None))
        except Exception as error:
            return Answer(**_error(error), seconds=slept, failed=True)
        finally:
            time.sleep = really
        if dispatch.resource.direct:
            return Answer(result, seconds=slept)
        extra = {"LogResult": "log"} if "LogType" in argument else {}
        return Answer({**METADATA, **extra, "Payload": result}, seconds=slept)


def _result(value: object) -> Any:
    """What Lambda's Python runtime makes of a return value: bytes pass as text."""
    return value.decode() if isinstance(value, bytes) else json.loads(json.dumps(value))


def _error(error: Exception) -> dict[str, str]:
    cause = {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": "00000000-0000-4000-8000-000000000000",
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
    return {"error": type(error).__name__, "cause": json.dumps(cause, separators=(",", ":"))}


def _load(function: Mapping[str, Any]) -> Any:
    namespace: dict[str, Any] = {"__name__": "handler"}
    exec(compile(function["source"], "/var/task/handler.py", "exec"), namespace)  # noqa: S102
    return namespace["handler"]
