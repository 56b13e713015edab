"""Functions as ListFunctions and GetFunction show them. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Mapping
from typing import Any

from torpor.gateway.lambda_api.names import LATEST, Place, name_of
from torpor.gateway.terms import Terms
from torpor.resources.names import FunctionKey

MOST_ITEMS = 50
"""How many functions one page has at most, and how many it has unless fewer are asked for."""


def configuration(key: FunctionKey, terms: Terms, place: Place) -> Mapping[str, Any]:
    """Return what this gateway knows of a function, in the words of FunctionConfiguration."""
    return {
        "FunctionName": name_of(key),
        "FunctionArn": place.arn(key),
        "Timeout": round(terms.timeout_seconds),
        "Version": LATEST,
        "PackageType": "Image",
        "State": "Failed" if terms.blocked else "Active",
        **({"StateReason": terms.blocked.message} if terms.blocked else {}),
    }


def page(
    functions: Collection[FunctionKey], marker: str, most: int
) -> tuple[list[FunctionKey], str | None]:
    """Return the functions after `marker` in the order of names, and the next marker."""
    names = {name_of(key): key for key in functions}
    ordered = sorted(names)
    first = bisect.bisect_right(ordered, marker) if marker else 0
    shown = ordered[first : first + most]
    more = first + len(shown) < len(ordered)
    return [names[name] for name in shown], shown[-1] if shown and more else None
