"""What the doctor knows of an installation, as the API server told it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

CONTROLLER, GATEWAY = "torpor-controller", "torpor-gateway"
ENGINE, EVENTS = "torpor-engine", "torpor-events"
MISSING = 404


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: an object or a list, else the status and the words of the refusal."""

    value: Json | None = None
    status: int = 200
    problem: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is none, as opposed to: we were not told."""
        return self.status == MISSING

    @property
    def items(self) -> Sequence[Json]:
        """The objects of a list; none where it was not told."""
        return tuple(self.value.get("items") or ()) if self.value else ()


UNASKED = Told(None, 0, "not asked")


@dataclass(frozen=True, slots=True)
class Right:
    """Something that the person may have to be allowed, and what it is for."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    purpose: str
    name: str = ""

    @property
    def words(self) -> str:
        """The right as `kubectl auth can-i` takes it."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        resource += f"/{self.name}" if self.name else ""
        resource += f" --subresource={self.subresource}" if self.subresource else ""
        return f"{self.verb} {resource} -n {self.namespace}"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was asked; `namespace` is Torpor's, `own` the person's.

    `skew_seconds` is how far our clock is ahead of the API server's. `unready` says for each pod
    why it is not ready, in the words of its own /readyz. `kinds` are the CRDs by kind, `wanted`
    those of this program. `jobs` are those of runs. `unresolved` is why no name below the domain is
    known here, or None. `denied` are the rights that the person lacks.
    """

    namespace: str
    own: str
    program: str
    now: datetime
    server: Told = UNASKED
    skew_seconds: float | None = None
    kinds: Mapping[str, Told] = field(default_factory=dict)
    wanted: Mapping[str, Json] = field(default_factory=dict)
    deployments: Told = UNASKED
    pods: Told = UNASKED
    unready: Mapping[str, str] = field(default_factory=dict)
    lease: Told = UNASKED
    secret: Told = UNASKED
    door: Told = UNASKED
    functions: Told = UNASKED
    workflows: Told = UNASKED
    triggers: Told = UNASKED
    jobs: Told = UNASKED
    nodes: Told = UNASKED
    namespaces: Told = UNASKED
    unresolved: str | None = None
    denied: Sequence[Right] = ()

    def deployment(self, role: str) -> Json | None:
        """Return the Deployment of a role, None if there is none."""
        named = (it for it in self.deployments.items if it["metadata"]["name"] == role)
        return next(named, None)

    def setting(self, role: str, variable: str) -> str:
        """Return an environment variable that the chart gave a role; empty if it gave none."""
        found = self.deployment(role)
        if found is None:
            return ""
        for container in found["spec"]["template"]["spec"]["containers"]:
            for item in container.get("env") or ():
                if item["name"] == variable:
                    return str(item.get("value") or "")
        return ""

    @property
    def domain(self) -> str:
        """Where functions answer; empty where that is not known."""
        return self.setting(CONTROLLER, "TORPOR_DOMAIN")

    @property
    def installed(self) -> bool:
        """Whether Torpor is where it was looked for."""
        return self.deployment(CONTROLLER) is not None or self.deployment(GATEWAY) is not None
