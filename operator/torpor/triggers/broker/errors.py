"""How JetStream says no. That it says nothing is `BrokerAway`, in `triggers/base.py`."""

from __future__ import annotations

from torpor.errors import TorporError

WRONG_REVISION = frozenset({10071, 10164})
CONSUMER_NOT_FOUND = 10014
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
MESSAGE_NOT_FOUND = 10037
OVERLAPPING_CONSUMER = frozenset({10099, 10100})
STORE_FULL = 10023
"""Insufficient resources: the server's or the account's."""
_STORE_FULL = frozenset({STORE_FULL, 10047, 10028})
STREAM_FULL = 10077
"""Store failed: the stream's own limits."""


class BrokerRefused(TorporError):
    """JetStream answered with an error. `err_code` is the server's (errors.json of nats-server)."""

    code = "broker-refused"

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(f"JetStream: {description} ({err_code})")
        self.err_code = err_code


class BrokerFull(BrokerRefused):
    """The stream is full: nothing was stored. Deliver or purge, or raise the limit."""

    code = "broker-full"


class StoreFull(BrokerFull):
    """JetStream's store is full, for all streams or for buses: nothing was stored."""

    code = "store-full"


class WrongRevision(BrokerRefused):
    """Somebody else wrote the key first."""

    code = "wrong-revision"


def refusal(error: dict[str, object]) -> BrokerRefused:
    """Return the exception for the `error` of an answer."""
    number = error.get("err_code")
    err_code = number if isinstance(number, int) else 0
    description = str(error.get("description", "no reason given"))
    if err_code in WRONG_REVISION:
        return WrongRevision(err_code, description)
    if err_code in _STORE_FULL:
        return StoreFull(err_code, description)
    if err_code == STREAM_FULL:
        return BrokerFull(err_code, description)
    return BrokerRefused(err_code, description)
