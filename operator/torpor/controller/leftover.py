"""Takes back what only a leader may tell: a standby's old figures would count beside the leader's.

Counters stay, and the sizes of the pods whose time they have. They tell what was done, whoever
leads.
"""

from __future__ import annotations

from typing import Final

from torpor.telemetry import metrics

_OF_FUNCTIONS: Final = (metrics.DESIRED_REPLICAS, metrics.RUNS_ACTIVE, metrics.RUN_PROGRESS)
_PLAIN: Final = (metrics.GATEWAYS_SILENT, metrics.QUEUE_DEPTH)


def take_back() -> None:
    """Have no gauge tell of a leadership that has ended."""
    for gauge in _OF_FUNCTIONS:
        gauge.clear()
    for gauge in _PLAIN:
        gauge.set(0)
