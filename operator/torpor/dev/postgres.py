"""The PostgreSQL of one folder's executions, for the length of a run."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from torpor.errors import TorporError
from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.embedded import EmbeddedPostgres
from torpor.workflows.ledger.migrations import OtherSchema

log = logging.getLogger(__name__)
ROOTS_PLACE = Path("/var/lib/torpor/dev")
"""Where root's are: PostgreSQL then runs as another user, who cannot enter root's folders."""
_LOOK_SECONDS = 0.2
_STEADY_SECONDS = 10.0
"""A server that ran for so long was well: its end is the first trouble again."""
_PAUSES_SECONDS = (0.0, 1.0, 4.0)
"""Before each new start; after as many that were in vain the run ends."""


class NoPostgres(TorporError):
    """Workflows cannot run here without PostgreSQL; the message says what to do."""

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
                keeper = group.create_task(_keep(server, start), name="postgres")
                try:
                    yield server.dsn
                finally:
                    keeper.cancel()
        finally:
            await asyncio.shield(loop.run_in_executor(thread, server.stop))


@contextmanager
def _in_one_line(place: Path) -> Iterator[None]:
    """Raise NoPostgres in place of the ledger's errors, alone or in groups of nothing else."""
    try:
        yield
    except LedgerError as error:
        raise NoPostgres(_told(error, place)) from error
    except BaseExceptionGroup as group:
        ours, others = group.split((LedgerError, NoPostgres))
        if ours is None or others is not None:
            raise
        why: BaseException = ours.subgroup(NoPostgres) or ours
        while isinstance(why, BaseExceptionGroup):
            why = why.exceptions[0]
        raise NoPostgres(str(why) if isinstance(why, NoPostgres) else _told(why, place)) from group


def _told(why: BaseException, place: Path) -> str:
    text = "Workflows need PostgreSQL: " + " ".join(str(why).split())
    if isinstance(why, OtherSchema):
        text += f"; they are in {_data_folder(place)}: move it away to begin without executions"
    return text


async def _keep(server: EmbeddedPostgres, start: Callable[[], Awaitable[None]]) -> None:
    """Start the server again whenever it ended; NoPostgres when that is in vain."""
    in_vain, since, why = 0, time.monotonic(), "it ends soon after each start"
    while True:
        while server.pid is not None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(_LOOK_SECONDS)
        if time.monotonic() - since > _STEADY_SECONDS:
            in_vain = 0
        if in_vain == len(_PAUSES_SECONDS):
            raise NoPostgres(
                f"PostgreSQL ended and could not be started again in {in_vain} tries: {why}; "
                "start torpor dev again: executions go on then"
            )
        log.warning("PostgreSQL ended: it is started again")
        await asyncio.sleep(_PAUSES_SECONDS[in_vain])
        in_vain += 1
        try:
            await start()
        except (LedgerError, OSError) as error:
            why = " ".join(str(error).split())
        since = time.monotonic()


def _started(place: Path) -> EmbeddedPostgres:
    try:
        place.mkdir(parents=True, exist_ok=True)
        server = EmbeddedPostgres(_data_folder(place))
        server.start()
    except OSError as error:
        raise NoPostgres(f"Workflows need PostgreSQL: {error}") from error
    return server


def _data_folder(place: Path) -> Path:
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in place.parents):
        return place / "postgres"
    digest = hashlib.sha256(os.fsencode(place.resolve())).hexdigest()[:16]
    return ROOTS_PLACE / digest
