"""How a run is named on the command line. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.errors import TorporError


class NoSuchRun(TorporError):
    """There is no run of that name, or no more."""

    code = "no-such-run"


class NoSuchIndex(TorporError):
    """The run has no index of that number."""

    code = "no-such-index"


@dataclass(frozen=True, slots=True)
class RunName:
    """A run's namespace and id; `str()` of it is `namespace/id`."""

    namespace: str
    id: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.id}"
