"""Where every metric is registered, and what several of them share."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

REGISTRY = CollectorRegistry(auto_describe=True)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FUNCTION = ("namespace", "function")
TRIGGER = ("namespace", "trigger")
WORKFLOW = ("namespace", "workflow")
