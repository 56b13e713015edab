"""The PostgreSQL of one folder's executions, for the length of a run."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from torpor.errors import TorporError
from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.embedded import EmbeddedPostgres

ROOTS_PLACE = Path("/var/lib/torpor/dev")
"""Where root's are: PostgreSQL then runs as another user, who cannot enter root's folders."""


class NoPostgres(TorporError):
    """Workflows cannot run here without PostgreSQL; the message says what to do."""

    code = "no-postgres"


@asynccontextmanager
async def running_postgres(place: Path) -> AsyncIterator[str]:
    """Run the server whose data is below `place`; give its DSN. NoPostgres says why it cannot.

    A thread of its own starts and stops it, because the server ends with the thread that started
    it: so it ends when this process is killed, and not before.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "postgres") as thread:
        try:
            server = await loop.run_in_executor(thread, _started, place)
        except (LedgerError, OSError) as error:
            raise NoPostgres(f"Workflows need PostgreSQL: {error}") from error
        try:
            yield server.dsn
        finally:
            await asyncio.shield(loop.run_in_executor(thread, server.stop))


def _started(place: Path) -> EmbeddedPostgres:
    place.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(_data_folder(place))
    server.start()
    return server


def _data_folder(place: Path) -> Path:
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in place.parents):
        return place / "postgres"
    digest = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:16]
    return ROOTS_PLACE / digest
