"""The PostgreSQL of one folder's executions and databases, for the length of a run."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from torpor.dev.keeper import InVain, keep, sole
from torpor.dev.manifests import BadFolder
from torpor.errors import TorporError
from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.embedded import EmbeddedPostgres
from torpor.workflows.ledger.migrations import OtherSchema

ROOTS_PLACE = Path("/var/lib/torpor/dev")
"""Where root's are: PostgreSQL then runs as another user, who cannot enter root's folders."""


class NoPostgres(TorporError):
    """Workflows and embedded databases cannot be here without it; the message says what to do."""

    code = "no-postgres"


@asynccontextmanager
async def running_postgres(place: Path) -> AsyncIterator[str]:
    """Run the server whose data is below `place`; give its DSN. NoPostgres says why it cannot.

    A server that ends by itself is started again, under the same DSN; when that is in vain, the
    block is cancelled, and NoPostgres raised.

    A thread of its own starts and stops it, because the server ends with the thread that started
    it: so it ends when this process is killed, and not before.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "postgres") as thread, _in_one_line(place):
        server = await loop.run_in_executor(thread, _started, place)

        async def start() -> None:
            await loop.run_in_executor(thread, server.start)

        try:
            async with asyncio.TaskGroup() as group:
                keeping = keep(server, start, "PostgreSQL", (LedgerError, OSError))
                keeper = group.create_task(keeping, name="postgres")
                try:
                    yield server.dsn
                finally:
                    keeper.cancel()
        finally:
            await asyncio.shield(loop.run_in_executor(thread, server.stop))


@contextmanager
def _in_one_line(place: Path) -> Iterator[None]:
    """Raise NoPostgres in place of the ledger's errors, alone or in groups of nothing else.

    A folder that is refused in the block is so outside of a group.
    """
    try:
        yield
    except LedgerError as error:
        raise NoPostgres(_told(error, place)) from error
    except BaseExceptionGroup as group:
        refused = sole(group, (BadFolder,))
        if refused is not None:
            raise refused from None
        why = sole(group, (InVain, LedgerError))
        if why is None:
            raise
        raise NoPostgres(_told(why, place)) from group


def _told(why: BaseException, place: Path) -> str:
    if isinstance(why, InVain):
        return f"{why}; start torpor dev again: executions go on then"
    text = "this folder needs PostgreSQL: " + " ".join(str(why).split())
    if isinstance(why, OtherSchema):
        text += f"; they are in {_data_folder(place)}: move it away to begin without executions"
    return text


def _started(place: Path) -> EmbeddedPostgres:
    try:
        place.mkdir(parents=True, exist_ok=True)
        server = EmbeddedPostgres(_data_folder(place))
        server.start()
    except OSError as error:
        raise NoPostgres(f"this folder needs PostgreSQL: {error}") from error
    return server


def _data_folder(place: Path) -> Path:
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in place.parents):
        return place / "postgres"
    digest = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:16]
    return ROOTS_PLACE / digest
