"""What the events role is told of a Function that is called asynchronously. Pure."""

from __future__ import annotations

from torpor.gateway.lambda_api.names import Place
from torpor.gateway.terms import Terms
from torpor.resources.asynchronous import Callee
from torpor.resources.names import FunctionKey


def callee_of(key: FunctionKey, terms: Terms, place: Place) -> Callee:
    """Return it; `place` is what ARNs are made of."""
    return Callee(
        uid=terms.uid,
        arn=place.arn(key),
        timeout_seconds=terms.timeout_seconds,
        target=terms.target,
        limit=terms.limit,
        most_replicas=terms.wakes_most,
        settings=terms.asynchronous,
    )
