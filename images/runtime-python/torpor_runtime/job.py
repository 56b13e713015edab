"""A run of a Job Function: the handler is called once, and what it returns is the run's result.

The input is the file TORPOR_INPUT, the result goes to the file TORPOR_OUTPUT as JSON. A failure
leaves `{"error": reason}` there and exits with 1, bad input with 64, SIGTERM with 143; SystemExit
keeps its code, and an exception with an `exit_code`, as `torpor.checkpoint` raises them, has that.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from torpor_runtime.event import Context
from torpor_runtime.failure import reason_of
from torpor_runtime.logs import request_fields, write_failure, write_line
from torpor_runtime.payload import BadPayload, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torpor_runtime.load import Handler

BAD_INPUT = 64
STOPPED = 143
MOST_RESULT_BYTES = 4096
"""What Kubernetes keeps of a container's termination message."""
_MOST_REASON_CHARACTERS = 600  # six bytes each at most, as JSON escapes them
_DEFAULT_SECONDS = 86_400.0


class ResultTooLarge(Exception):
    """The handler's result does not fit into the status of the run; the next would not either."""

    exit_code = BAD_INPUT


def run(handler: Handler, environment: Mapping[str, str] = os.environ) -> int:
    """Call the handler; return the exit status."""
    request_fields.set({"run": environment["TORPOR_RUN_ID"]})
    # The first process of a container has no default action for SIGTERM. A handler that stops in
    # its own way sets its own.
    signal.signal(signal.SIGTERM, _stop)
    try:
        given = _given(environment)
    except BadPayload as error:
        return _failed(environment, error, BAD_INPUT)
    try:
        result = handler(given, _context(environment))
        if hasattr(result, "__await__"):
            result = _awaited(result)
        _leave(environment, result)
    except SystemExit as error:
        return _chosen(environment, error)
    except BaseException as error:  # user code may raise anything
        code = getattr(error, "exit_code", 1)
        return _failed(environment, error, code if isinstance(code, int) else 1)
    return 0


def leave_error(environment: Mapping[str, str], reason: str) -> None:
    """Write why the run has no result to where it is looked for."""
    short = reason[:_MOST_REASON_CHARACTERS].encode(errors="replace").decode()
    _write(environment, json.dumps({"error": short}).encode())


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(STOPPED)


def _given(environment: Mapping[str, str]) -> Any:
    """Return what the handler is given; BadPayload if the input is none."""
    with open(environment["TORPOR_INPUT"], "rb") as file:
        text = file.read()
    payload = environment.get("TORPOR_PAYLOAD", "raw")
    if payload == "cloudevents":
        from torpor_runtime.cloudevents import events_of

        return events_of(parsed(text, "a CloudEvent"))
    if not text.strip():
        return {} if payload == "lambda" else None
    return parsed(text, "the input of a run")


def _context(environment: Mapping[str, str]) -> Any:
    seconds = float(environment.get("TORPOR_TIMEOUT_SECONDS") or _DEFAULT_SECONDS)
    context = Context(
        environment.get("TORPOR_FUNCTION", ""),
        environment["TORPOR_RUN_ID"],
        environment.get("TRACEPARENT", ""),
        time.monotonic() + seconds,
    )
    if environment.get("TORPOR_PAYLOAD") != "lambda":
        return context
    from torpor_runtime.lambda_context import LambdaContext

    return LambdaContext(context)


def _awaited(result: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


def _leave(environment: Mapping[str, str], result: Any) -> None:
    """Write the result; a handler that wrote one itself returns None."""
    if result is None:
        return
    from torpor_runtime.lambda_payload import json_of

    content = json_of(result)
    if len(content) > MOST_RESULT_BYTES:
        raise ResultTooLarge(
            f"the result has {len(content)} bytes, at most {MOST_RESULT_BYTES} are kept: store it, "
            "and return where it is"
        )
    _write(environment, content)


def _chosen(environment: Mapping[str, str], error: SystemExit) -> int:
    """Return the code that the handler chose, as Python has it: a text is a reason, and 1."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    return _failed(environment, error, 1)


def _failed(environment: Mapping[str, str], error: BaseException, code: int) -> int:
    if code == STOPPED:
        write_line("info", f"the run is stopped: {error}")
        return code
    write_failure("the run failed", error)
    reason = str(error) if isinstance(error, BadPayload | SystemExit) else reason_of(error)
    leave_error(environment, str(error) if code == BAD_INPUT else reason)
    return code


def _write(environment: Mapping[str, str], content: bytes) -> None:
    """Write in place: in a pod the file is mounted, and cannot be replaced by another."""
    target = environment.get("TORPOR_OUTPUT")
    if not target:
        return
    try:
        with open(target, "wb") as file:
            file.write(content)
    except OSError as problem:
        write_line("error", f"the output cannot be written: {problem}")
