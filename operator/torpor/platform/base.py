"""The platform as the gateway and the autoscaler see it: functions, their instances, a scale.

Two implementations: `kubernetes` (pods behind Deployments) and `local` (processes of
`torpor dev`). Everything that wakes, holds, decides and parks is the same code over both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torpor.resources.function import Function
from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an instance does not start: a CamelCase word and a sentence for people.

    `final` says that waiting will not help (a missing image, a crash loop), so that held requests
    can be answered at once. `public` is what callers are told beside the reason: `message` is for
    the function's owner, since words of the program and names of the cluster are in it.
    """

    reason: str
    message: str
    final: bool
    public: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One pod or process of a function. `address` is an IP, None until it is known.

    `seen` maps a phase (`created`, `scheduled`, `started`, `ready`) to the moment, on this
    process's monotonic clock in seconds, at which it was first observed.
    """

    function: FunctionKey
    name: str
    uid: str
    address: str | None
    port: int
    ready: bool
    terminating: bool
    trouble: Trouble | None = None
    seen: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scale:
    """The replicas asked for, and the version that makes a change conditional."""

    replicas: int
    version: str


@dataclass(frozen=True, slots=True)
class FunctionChanged:
    """A Function appeared or changed; `function` is None when it was deleted."""

    key: FunctionKey
    function: Function | None


@dataclass(frozen=True, slots=True)
class FunctionRefused:
    """A Function is stored as it cannot be understood: what was last told of it holds.

    `instead` is for whoever was told nothing of it: what of it can be understood.
    """

    key: FunctionKey
    instead: Function


@dataclass(frozen=True, slots=True)
class InstancesChanged:
    """All instances of one function as they are now (also when the last one left)."""

    key: FunctionKey
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything that existed when the watch began has been told; sent once."""


Change = FunctionChanged | FunctionRefused | InstancesChanged | Synced


class Platform(Protocol):
    """What the gateway and the autoscaler need of the platform. All methods may raise ApiError."""

    def changes(self) -> AsyncIterator[Change]:
        """Yield what exists, then `Synced`, then every change, until cancelled.

        Level-triggered: after a gap the state is told again, with deletions for what vanished.
        """
        ...

    async def scale(self, key: FunctionKey) -> Scale:
        """Return the current scale; ApiNotFound when the function has no workload yet."""
        ...

    async def set_scale(
        self, key: FunctionKey, replicas: int, *, manager: str, version: str | None = None
    ) -> Scale:
        """Ask for `replicas`; with `version`, ApiConflict if anything changed since it was read."""
        ...

    async def prefer_removal(self, key: FunctionKey, load: Mapping[str, int]) -> None:
        """Tell which instances to remove first on a scale-in: those with the least in flight."""
        ...
