"""What a gateway itself serves behind the data plane: HTTP on a socket of its own."""

from __future__ import annotations

import os
from pathlib import Path

from aiohttp import web

LARGE_BYTES = 64 * 1024
"""A connection is closed after more than so much: aiohttp's task of one that is kept for the next
request holds on to the last request and its answer."""
_BACKLOG = 1024


class OwnServer:
    """Serves `app` until stopped."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start_at(self, path: Path) -> None:
        """Listen on a unix socket that only this user can open."""
        _make_way(path)
        await web.UnixSite(await self._set_up(), str(path), backlog=_BACKLOG).start()
        os.chmod(path, 0o600)

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port` (0: any free one, see `port`); OSError if it is taken."""
        runner = await self._set_up()
        await web.TCPSite(runner, host, port).start()
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; what goes on is cancelled."""
        if self._runner:
            await self._runner.cleanup()

    async def _set_up(self) -> web.AppRunner:
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,  # what is signed, and what a function gets, is the body as sent
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        return self._runner


def _make_way(path: Path) -> None:
    """A socket of a process that was killed is still there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
