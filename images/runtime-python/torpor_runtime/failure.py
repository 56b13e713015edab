"""An instance that cannot go on: the reason goes to the log and to where Kubernetes looks for it.

The process exits with 1 rather than serving errors, so that the pod shows CrashLoopBackOff with the
reason as its termination message. The reason is one line and becomes part of the Function's
condition; requests are answered 503 with the exception's class alone, and the traceback, which may
show code and data, is for the log, and of a request that failed for a caller who proves that it is
part of the installation.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping

from torpor_runtime.logs import write_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_TOLD_CHARACTERS = 16_000  # with the stack it stays in the 32,768 characters of a Cause
_TOLD_FRAMES = 30
_TOLD_FRAME_CHARACTERS = 500
_LEFT_BYTES = 1024  # Kubernetes keeps 4,096 of all containers' messages together


def report_start_failure(error: BaseException, environment: Mapping[str, str] = os.environ) -> int:
    """Tell why the function does not start; return the exit status."""
    write_line("error", "the function cannot be loaded", exception=traceback_of(error))
    if environment.get("TORPOR_RUN_ID"):
        from torpor_runtime.job import leave_error

        leave_error(environment, reason_of(error))
    else:
        leave_reason(reason_of(error), environment)
    return 1


def reason_of(error: BaseException) -> str:
    """Return the error in one line, such as `ModuleNotFoundError: No module named 'x'`."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def traceback_of(error: BaseException) -> str:
    """Return the traceback from the first frame of the user's code on."""
    return "".join(traceback.format_exception(type(error), error, _users(error)))


def details_of(error: BaseException) -> dict[str, str | list[str]]:
    """Return what Lambda tells of an error besides its type; long ones are cut.

    Of many frames the innermost are kept, which say where it happened.
    """
    frames = traceback.extract_tb(_users(error))[-_TOLD_FRAMES:]
    stack = traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])
    return {
        "errorMessage": _sendable(_text_of(error)[:_TOLD_CHARACTERS]),
        "stackTrace": [_sendable(entry[:_TOLD_FRAME_CHARACTERS]) for entry in stack],
    }


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # a broken __str__ must not make the answer fail
        return f"the exception has no text: its __str__ raised {type(problem).__name__}"


def _sendable(text: str) -> str:
    """Return the text without lone surrogates, which readers of JSON refuse."""
    return text.encode(errors="replace").decode()


def _users(error: BaseException) -> TracebackType | None:
    step = error.__traceback__
    while step and _is_ours(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return step


def leave_reason(reason: str, environment: Mapping[str, str] = os.environ) -> None:
    """Write the line that becomes the container's termination message."""
    target = environment.get("TORPOR_TERMINATION_LOG") or "/dev/termination-log"
    try:
        with open(target, "wb") as file:
            file.write(reason.encode(errors="replace")[:_LEFT_BYTES] + b"\n")
    except OSError as problem:  # outside a pod there is no such file
        write_line("debug", f"no termination message: {problem}")


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen ") or "torpor_runtime" in file or "/importlib/" in file
