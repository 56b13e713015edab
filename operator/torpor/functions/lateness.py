"""What is told of a Function whose instances are late and complain of nothing. Pure.

A container that runs and does not serve is the program's matter. One that was never started is the
node's, which tells its reason in Events of the pod alone: here is said what the spec has to do
with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torpor.resources.conditions import NOT_READY, NOT_STARTED, Problem
from torpor.resources.function import Function
from torpor.resources.quantity import quantity

LATE: Final = frozenset({NOT_READY, NOT_STARTED})
_LEAST_MEMORY_BYTES: Final = 16 << 20
"""With less, what makes a container may already be killed."""
_NAMED: Final = {
    "configMap": ("ConfigMap", "name"),
    "secret": ("Secret", "secretName"),
    "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName"),
}
"""The sources of volumes that a node waits for: what each is, and which field names it."""


@dataclass(frozen=True, slots=True)
class Unstarted:
    """No container was started yet; `absent` are ConfigMaps of volumes that are not there."""

    absent: frozenset[str] = frozenset()


def late(function: Function, unstarted: Unstarted | None) -> Problem:
    """Return what is told once the startup time is over; `unstarted` is None once one ran."""
    if unstarted is None:
        return _not_ready(function)
    found = "; ".join(_suspects(function, unstarted.absent))
    text = (
        "no instance's container was started within "
        f"{function.startup_timeout_seconds} s: {found or 'its node still fetches or makes it'}; "
        "the Events of its pods have the node's word"
    )
    return Problem(NOT_STARTED, text, final=False)


def config_maps(function: Function) -> Iterator[str]:
    """Yield the ConfigMaps without which its volumes cannot be mounted."""
    for item in function.volumes:
        source = item.source.get("configMap")
        if source is not None and not source.get("optional"):
            yield str(source.get("name"))


def _suspects(function: Function, absent: frozenset[str]) -> Iterator[str]:
    for name in sorted(absent):
        yield f"spec.volumes: there is no ConfigMap {name!r} in this namespace"
    waited = tuple(_mounted(function))
    if waited and not absent:
        yield f"its node may wait for {' and '.join(waited)} of spec.volumes"
    memory = (function.resources.get("limits") or {}).get("memory")
    if memory is not None and _is_tiny(memory):
        yield f"spec.resources.limits.memory: {memory} is too little to make a container in"


def _mounted(function: Function) -> Iterator[str]:
    for item in function.volumes:
        for kind, source in item.source.items():
            if kind in _NAMED and not source.get("optional"):
                word, field = _NAMED[kind]
                yield f"{word} {source.get(field)!r}"


def _is_tiny(memory: object) -> bool:
    try:
        return quantity(memory) < _LEAST_MEMORY_BYTES
    except ValueError:  # an API server refuses what is no quantity
        return False


def _not_ready(function: Function) -> Problem:
    """Return what is told of instances that run, complain of nothing, and do not serve."""
    probe = function.readiness_probe
    answer = f" and answer GET {probe.http_path}" if probe and probe.http_path else ""
    text = (
        f"no instance was ready within {function.startup_timeout_seconds} s: it must listen on "
        f"port {function.port} ($PORT), and not on 127.0.0.1 alone{answer}; one that needs longer "
        "to start needs a longer spec.startupTimeoutSeconds"
    )
    return Problem(NOT_READY, text, final=False)
