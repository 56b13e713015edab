"""What a gateway tells the autoscaler about one function, and its JSON form.

The counters only grow while a gateway lives, so any number of readers can take differences; a
change of `boot` says that they began again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class FunctionLoad:
    """The load of one function on one gateway, at the moment of the answer.

    `in_flight` are inside a pod, `queued` wait for a place in a pod, `held` wait for the function
    to wake. `concurrency_seconds` is the time integral of their sum since the gateway started (so
    that a mean over any window is a difference divided by its length), `requests` counts requests
    since then. `instances` is the in-flight count of each pod by name.
    """

    in_flight: int = 0
    queued: int = 0
    held: int = 0
    concurrency_seconds: float = 0.0
    requests: int = 0
    instances: Mapping[str, int] = field(default_factory=dict)

    @property
    def present(self) -> int:
        """Requests that are somewhere on this gateway for this function."""
        return self.in_flight + self.queued + self.held

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        return {
            "inFlight": self.in_flight,
            "queued": self.queued,
            "held": self.held,
            "concurrencySeconds": round(self.concurrency_seconds, 4),
            "requests": self.requests,
            "instances": dict(self.instances),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> FunctionLoad:
        """Return the load in `body`; KeyError, TypeError or ValueError if it is not one."""
        return cls(
            in_flight=int(body["inFlight"]),
            queued=int(body["queued"]),
            held=int(body["held"]),
            concurrency_seconds=float(body["concurrencySeconds"]),
            requests=int(body["requests"]),
            instances={str(name): int(count) for name, count in body["instances"].items()},
        )


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One wake from zero as a gateway saw it; `sequence` grows by one a cold start on a gateway.

    `phases` maps the phase (`PHASES`, in order) to milliseconds; together they are `total_ms`,
    from the first held request to its release. A phase that could not be seen is absent.
    """

    function: FunctionKey
    sequence: int
    phases: Mapping[str, float]
    total_ms: float

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        return {
            "function": str(self.function),
            "sequence": self.sequence,
            "phases": {phase: round(value, 1) for phase, value in self.phases.items()},
            "totalMs": round(self.total_ms, 1),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ColdStart:
        """Return the cold start in `body`; KeyError, TypeError or ValueError if it is not one."""
        phases = {str(phase): float(value) for phase, value in body["phases"].items()}
        key = FunctionKey.parse(body["function"])
        return cls(key, int(body["sequence"]), phases, float(body["totalMs"]))


PHASES = ("decide", "schedule", "create", "start", "release")
"""decide: request held until the scale call is answered. schedule: until a node is chosen. create:
until the container runs (image pull, sandbox). start: until it listens. release: until the first
request is let through."""


@dataclass(frozen=True, slots=True)
class GatewayLoad:
    """One gateway's answer: only functions that are awake or have requests there are in it.

    `cold_starts` are the latest ones (bounded); a reader tells new ones by `sequence`.
    `measured_at` is when the counters stood so, in seconds on a clock of the gateway's own that
    begins anew with `boot`; None from a gateway that does not tell. An answer can be late, and two
    can tell of the same moment.
    """

    gateway: str
    boot: str
    functions: Mapping[FunctionKey, FunctionLoad]
    cold_starts: tuple[ColdStart, ...] = ()
    measured_at: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `from_json` reads."""
        return {
            "gateway": self.gateway,
            "boot": self.boot,
            "functions": {str(key): load.to_json() for key, load in self.functions.items()},
            "coldStarts": [cold_start.to_json() for cold_start in self.cold_starts],
            "measuredAt": self.measured_at,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> GatewayLoad:
        """Return the answer in `body`; KeyError, TypeError or ValueError if it is not one."""
        functions = {
            FunctionKey.parse(key): FunctionLoad.from_json(load)
            for key, load in body["functions"].items()
        }
        cold_starts = tuple(ColdStart.from_json(item) for item in body["coldStarts"])
        told = body.get("measuredAt")
        measured_at = None if told is None else float(told)
        return cls(str(body["gateway"]), str(body["boot"]), functions, cold_starts, measured_at)


@dataclass(frozen=True, slots=True)
class ParkAnswer:
    """What is still on a gateway after it parked a function: zero means drained."""

    in_flight: int
    queued: int
    held: int

    @property
    def present(self) -> int:
        """Requests of the function that are left on the gateway."""
        return self.in_flight + self.queued + self.held

    @property
    def drained(self) -> bool:
        """Whether nothing of the function is left on the gateway."""
        return self.present == 0

    def to_json(self) -> dict[str, int]:
        """Return the JSON object that `from_json` reads."""
        return {"inFlight": self.in_flight, "queued": self.queued, "held": self.held}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> ParkAnswer:
        """Return the answer in `body`; KeyError, TypeError or ValueError if it is not one."""
        return cls(int(body["inFlight"]), int(body["queued"]), int(body["held"]))


PARK_SECONDS = 5.0
"""How long a gateway stays parked without word; the leader must have scaled well before."""
