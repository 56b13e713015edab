"""A real rabbitmq-server for a test, with an epmd of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.servers.certificates import Certificates
from tests.support.servers.daemon import Daemon, free_port, needs, program_path

needs_rabbitmq = needs("rabbitmq-server")
_SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's own /usr/sbin/rabbitmq-server would become the user rabbitmq first."""


@contextlib.asynccontextmanager
async def rabbitmq(certificates: Certificates | None = None) -> AsyncIterator[Daemon]:
    """A running broker for the user guest, with the password guest.

    With certificates it speaks TLS alone, and asks for one of the client.
    """
    with tempfile.TemporaryDirectory(prefix="torpor-test-rabbitmq-") as name:
        folder = Path(name)
        names = folder / "epmd"
        names.mkdir()
        naming_port, port = free_port(), free_port()
        argv = [program_path("epmd") or "", "-port", str(naming_port), "-address", "127.0.0.1"]
        naming = Daemon(argv, names, naming_port)
        (folder / "rabbitmq.conf").write_text(_configuration(port, certificates))
        server = Daemon([_SCRIPT], folder, port, _environment(folder, port, naming_port), 60.0)
        await naming.start()
        try:
            await server.start()
            yield server
        finally:
            await server.kill()
            await naming.kill()


def _configuration(port: int, certificates: Certificates | None) -> str:
    lines = ["vm_memory_high_watermark.absolute = 512MiB", "disk_free_limit.absolute = 50MB"]
    if certificates is None:
        lines.append(f"listeners.tcp.1 = 127.0.0.1:{port}")
    else:
        lines += [
            "listeners.tcp = none",
            f"listeners.ssl.1 = 127.0.0.1:{port}",
            f"ssl_options.cacertfile = {certificates.ca}",
            f"ssl_options.certfile = {certificates.server}",
            f"ssl_options.keyfile = {certificates.server_key}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = true",
        ]
    return "".join(f"{line}\n" for line in lines)


def _environment(folder: Path, port: int, naming_port: int) -> dict[str, str]:
    (folder / "enabled_plugins").write_text("[].\n")
    return {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(naming_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        "RABBITMQ_FEATURE_FLAGS": "",
    }
