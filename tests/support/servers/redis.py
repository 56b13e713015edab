"""A real redis-server for a test, which keeps what it is given over a kill."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.servers.certificates import Certificates
from tests.support.servers.daemon import Daemon, free_port, needs, program_path

needs_redis = needs("redis-server")


@contextlib.asynccontextmanager
async def redis_server(
    *, password: str | None = None, certificates: Certificates | None = None
) -> AsyncIterator[Daemon]:
    """A running server; with certificates it speaks TLS only, and asks for the client's."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="torpor-test-redis-") as folder:
        argv = [program_path("redis-server") or "", "--bind", "127.0.0.1", "--save", ""]
        argv += ["--appendonly", "yes", "--appendfsync", "always"]
        argv += ["--requirepass", password] if password else []
        argv += ["--port", str(port)] if certificates is None else _tls(port, certificates)
        server = Daemon(argv, Path(folder), port)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


def _tls(port: int, certificates: Certificates) -> list[str]:
    return [
        *("--port", "0", "--tls-port", str(port)),
        *("--tls-ca-cert-file", str(certificates.ca)),
        *("--tls-cert-file", str(certificates.server)),
        *("--tls-key-file", str(certificates.server_key)),
    ]
