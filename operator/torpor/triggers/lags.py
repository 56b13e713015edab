"""What is not delivered to Functions, as the events role tells it once a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.resources.names import FunctionKey

LAG_PATH = "/v1/lag"

Lags = Mapping[FunctionKey, Mapping[str, float]]
"""By Function and name of the Trigger, events that are not delivered; only what is not zero."""


def lags_to_json(lags: Lags) -> dict[str, Any]:
    """Return the answer of LAG_PATH."""
    return {"lags": {str(key): dict(of_triggers) for key, of_triggers in lags.items()}}


def lags_from_json(body: Mapping[str, Any]) -> Lags:
    """Return what `lags_to_json` wrote; KeyError, TypeError or ValueError for anything else."""
    return {
        FunctionKey.parse(key): {str(name): float(lag) for name, lag in of_triggers.items()}
        for key, of_triggers in body["lags"].items()
    }
