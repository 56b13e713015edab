"""Every function that the autoscaler knows, and which of them it has to look at.

Ten thousand functions at zero cost a pass nothing: those to look at are kept in sets.
"""

from __future__ import annotations

from torpor.functions.tracked import Tracked
from torpor.platform.base import (
    Change,
    FunctionChanged,
    FunctionRefused,
    Instance,
    InstancesChanged,
    Synced,
)
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey
from torpor.scaling.provisioned import NO_WINDOWS


class Fleet:
    """All functions of the platform, and which of them a pass has to look at."""

    def __init__(self) -> None:
        self.synced = False
        self._all: dict[FunctionKey, Tracked] = {}
        self._awake: set[FunctionKey] = set()
        self._with_floor: set[FunctionKey] = set()
        self._with_windows: set[FunctionKey] = set()

    def get(self, key: FunctionKey) -> Tracked | None:
        """Return the function, None unless its spec is known."""
        tracked = self._all.get(key)
        return tracked if tracked and tracked.scaling else None

    def take(self, change: Change) -> bool:
        """Follow a change; return whether it woke a function that was at zero."""
        match change:
            case Synced():
                self.synced = True
            case FunctionChanged(key, None):
                self._drop(key)
            case FunctionChanged(key, function) if function is not None:
                if function.job is None:
                    self._take_function(key, function)
                else:
                    self._drop(key)  # its runs are no instances: nothing scales them
            case FunctionRefused(key, instead):
                if self.get(key) is None and instead.job is None:
                    self._take_function(key, instead)
            case InstancesChanged(key, instances):
                return self._take_instances(key, instances)
        return False

    def visited(self, wall: float) -> set[FunctionKey]:
        """Return the functions that have instances or ought to, at `wall` (seconds since 1970)."""
        opened = {key for key in self._with_windows if self._all[key].floor.at(wall)}
        return self._awake | self._with_floor | opened

    def woke(self, tracked: Tracked) -> None:
        """Look at the function from now on."""
        self._awake.add(tracked.key)

    def rest(self, tracked: Tracked) -> None:
        """Look at the function no longer, unless it has a floor."""
        tracked.sleep()
        self._awake.discard(tracked.key)

    def _take_function(self, key: FunctionKey, function: Function) -> None:
        tracked = self._all.setdefault(key, Tracked(key))
        tracked.take_spec(function)
        scaling = function.scaling
        _keep(self._with_floor, key, wanted=scaling.min_replicas > 0)
        _keep(self._with_windows, key, wanted=tracked.floor is not NO_WINDOWS)

    def _take_instances(self, key: FunctionKey, instances: tuple[Instance, ...]) -> bool:
        tracked = self._all.setdefault(key, Tracked(key))
        asleep = not tracked.live
        tracked.instances = instances
        if not tracked.live:
            if not instances and tracked.scaling is None:
                del self._all[key]
                self._awake.discard(key)
            return False
        self._awake.add(key)
        return asleep

    def _drop(self, key: FunctionKey) -> None:
        tracked = self._all.get(key)
        for keys in (self._awake, self._with_floor, self._with_windows):
            keys.discard(key)
        if tracked and tracked.instances:  # its pods still leave
            self._all[key] = Tracked(key)
            self._all[key].instances = tracked.instances
            return
        self._all.pop(key, None)


def _keep(keys: set[FunctionKey], key: FunctionKey, *, wanted: bool) -> None:
    if wanted:
        keys.add(key)
    else:
        keys.discard(key)
