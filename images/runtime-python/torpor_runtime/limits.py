"""What one request, and one instance, may take."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Limits:
    """The limits in the environment; no dataclass, whose import costs more than all of serving."""

    __slots__ = ("body_bytes", "concurrency", "grace_seconds", "timeout_seconds")

    def __init__(
        self,
        timeout_seconds: float = 30.0,
        concurrency: int = 0,
        grace_seconds: float = 5.0,
        body_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.concurrency = concurrency
        """Executions at once; 0 means no limit."""
        self.grace_seconds = grace_seconds
        """How long an execution may go on after its time-out until its place counts as lost."""
        self.body_bytes = body_bytes

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Limits:
        """Return TORPOR_TIMEOUT_SECONDS, _CONCURRENCY_LIMIT, _GRACE_SECONDS, _MAX_BODY_BYTES."""
        usual = cls()
        return cls(
            float(environment.get("TORPOR_TIMEOUT_SECONDS", usual.timeout_seconds)),
            int(environment.get("TORPOR_CONCURRENCY_LIMIT", usual.concurrency)),
            float(environment.get("TORPOR_GRACE_SECONDS", usual.grace_seconds)),
            int(environment.get("TORPOR_MAX_BODY_BYTES", usual.body_bytes)),
        )
