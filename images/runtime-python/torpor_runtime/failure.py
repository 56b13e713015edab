"""A start that failed: the reason goes to the log and to where Kubernetes looks for it.

The process exits with 1 rather than serving errors, so that the pod shows CrashLoopBackOff with the
reason as its termination message, and requests are answered 503 with that reason.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

from torpor_runtime.logs import write_line

_LEFT_BYTES = 2048  # Kubernetes keeps 4,096 of all containers' messages together


def report_start_failure(error: BaseException, environment: Mapping[str, str] = os.environ) -> int:
    """Tell why the function does not start; return the exit status."""
    text = "".join(traceback.format_exception(_without_our_frames(error)))
    write_line("error", "the function cannot be loaded", exception=text)
    target = Path(environment.get("TORPOR_TERMINATION_LOG") or "/dev/termination-log")
    try:
        target.write_bytes(text.encode(errors="replace")[-_LEFT_BYTES:])
    except OSError as problem:  # outside a pod there is no such file
        write_line("debug", f"no termination message: {problem}")
    return 1


def _without_our_frames(error: BaseException) -> BaseException:
    """Return the error with the traceback from the first frame of the user's code on."""
    step = error.__traceback__
    while step and _is_ours(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return error.with_traceback(step)


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen ") or "torpor_runtime" in file or "/importlib/" in file
