"""Has what is no role of its own in `torpor dev` tell spans: the gateway, runs and functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from torpor.dev.ports import Ports, address
from torpor.dev.runs.keeper import LocalRuns
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.heldspans import HeldSpans
from torpor.telemetry.tracing import Keep, exporting

_LAST_SECONDS = 1.0


def environment_of(ports: Ports) -> Mapping[str, str]:
    """Return what makes the processes of functions send their spans to the dashboard."""
    if ports.dashboard is None:
        return {}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": address(ports.dashboard)}


@asynccontextmanager
async def told(keep: Keep, plane: InProcessDataPlane, runs: LocalRuns) -> AsyncIterator[None]:
    """Have holds and runs told inside the block, to `keep` and to the environment's collector."""
    async with (
        exporting("torpor-gateway", _LAST_SECONDS, keep) as of_gateway,
        exporting("torpor-controller", _LAST_SECONDS, keep) as of_controller,
    ):
        plane.set_spans(HeldSpans(of_gateway))
        runs.emit = of_controller
        yield
