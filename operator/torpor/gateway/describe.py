"""One function as this gateway sees it, as JSON for people and tools."""

from __future__ import annotations

from typing import Any

from torpor.gateway.activator import Activator
from torpor.gateway.announcements import Endpoint
from torpor.gateway.gate import State
from torpor.platform.base import Instance
from torpor.resources.load import FunctionLoad
from torpor.resources.names import FunctionKey


def describe(activator: Activator, key: FunctionKey) -> dict[str, Any]:
    """Return state, load, instances and cold starts of a function that is known."""
    gate = activator.gate(key)
    state = gate.state if gate else State.ASLEEP
    load = gate.load if gate else FunctionLoad()
    usable = gate.usable if gate else ()
    return {
        "function": str(key),
        "state": state.value,
        "load": load.to_json(),
        "instances": [_instance(item, usable) for item in (gate.instances if gate else ())],
        "problem": gate.problem if gate else None,
        "coldStartMs": dict(activator.cold_start_quantiles_ms(key)),
    }


def _instance(instance: Instance, usable: tuple[Endpoint, ...]) -> dict[str, Any]:
    trouble = instance.trouble
    return {
        "name": instance.name,
        "address": instance.address,
        "port": instance.port,
        "ready": instance.ready,
        "usable": (instance.address, instance.port) in usable,
        "terminating": instance.terminating,
        "trouble": {"reason": trouble.reason, "message": trouble.message} if trouble else None,
    }
