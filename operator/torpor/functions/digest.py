"""A short name for what a JSON value says. Pure."""

from __future__ import annotations

import hashlib
import json


def digest(value: object) -> str:
    """Return a short hash of a JSON value that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
