"""Every error that Torpor raises on purpose: one tree, each with a stable code.

The code is part of the interface (logs, problem+json answers, CLI output); the message says what
was wrong, where, and what to do about it.
"""

from __future__ import annotations


class TorporError(Exception):
    """The root. `code` is stable and in kebab-case; `str(error)` is for people."""

    code = "torpor"


class InvalidResource(TorporError):
    """An object that the CRD's schema would have refused, or a field that cannot be understood.

    `path` is the place in the object, such as `spec.scaling.maxReplicas`.
    """

    code = "invalid-resource"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class ApiError(TorporError):
    """The Kubernetes API answered with an error, or did not answer (`status` 0)."""

    code = "api"

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"Kubernetes API: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ApiNamespaceEnding(ApiError):
    """403: nothing can be made in a namespace that is being deleted."""

    code = "api-namespace-ending"


class ApiNotFound(ApiError):
    """404: the object does not exist."""

    code = "api-not-found"


class ApiConflict(ApiError):
    """409: somebody else changed or made the object first."""

    code = "api-conflict"


class ApiGone(ApiError):
    """410: the watch's resourceVersion is too old; list again."""

    code = "api-gone"


class ApiUnavailable(ApiError):
    """No answer, 429 or 5xx after all retries."""

    code = "api-unavailable"
    retry_after_seconds = 0.0
    """How long the server asked to be left alone."""


class UnknownFunction(TorporError):
    """No Function of that name is known."""

    code = "unknown-function"


class DataPlaneError(TorporError):
    """The data plane refused a command or is away."""

    code = "data-plane"


class SlotsExhausted(DataPlaneError):
    """More functions are awake, or gateways known, than the data plane has places for."""

    code = "slots-exhausted"
