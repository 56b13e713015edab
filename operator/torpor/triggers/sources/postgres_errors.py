"""What PostgreSQL refuses, and what its users can do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import asyncpg

from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.pgoutput import Undecipherable

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.ObjectInUseError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TooManyConnectionsError,
)
_WRONG: Final[tuple[tuple[type[Exception], str], ...]] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "correct the user and the password in the Secret's dsn",
    ),
    (asyncpg.InvalidCatalogNameError, "correct the database in the Secret's dsn"),
    (
        asyncpg.InsufficientPrivilegeError,
        "the user needs ALTER ROLE … REPLICATION, GRANT CREATE ON DATABASE, and to own the tables; "
        "a publication that somebody else made under the name of the slot is used as it is",
    ),
    (
        asyncpg.ConfigurationLimitExceededError,
        "raise max_replication_slots, or drop slots that nobody reads",
    ),
    (asyncpg.FeatureNotSupportedError, "read from the primary server"),
    (
        asyncpg.ObjectNotInPrerequisiteStateError,
        "read from the primary server, with max_replication_slots above 0",
    ),
)


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """All that goes wrong in the block becomes SourceAway or SourceMisconfigured."""
    try:
        yield
    except _AWAY as error:
        text = str(error) or type(error).__name__
        raise SourceAway(f"PostgreSQL is away: {text}") from error
    except (asyncpg.PostgresError, Undecipherable) as error:
        for kind, advice in _WRONG:
            if isinstance(error, kind):
                raise SourceMisconfigured(f"PostgreSQL refused: {error}: {advice}") from error
        raise SourceAway(f"PostgreSQL refused: {error}") from error
