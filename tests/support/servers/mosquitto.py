"""A real mosquitto for a test, which keeps sessions and messages over a restart."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.support.servers.certificates import Certificates
from tests.support.servers.daemon import Daemon, free_port, needs, program_path

needs_mosquitto = needs("mosquitto")


@contextlib.asynccontextmanager
async def mosquitto(
    *, users: Mapping[str, str] | None = None, certificates: Certificates | None = None
) -> AsyncIterator[Daemon]:
    """A running broker. With users only they come in; with certificates it speaks TLS only."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="torpor-test-mosquitto-") as name:
        folder = Path(name)
        lines = [
            f"listener {port} 127.0.0.1",
            f"allow_anonymous {'false' if users else 'true'}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 100000",
            "user root",  # it would give root up, and the folder is the test's
        ]
        if users:
            lines.append(f"password_file {_passwords(folder, users)}")
        if certificates is not None:
            lines.append(f"cafile {certificates.ca}")
            lines.append(f"certfile {certificates.server}")
            lines.append(f"keyfile {certificates.server_key}")
            lines.append("require_certificate true")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        argv = [program_path("mosquitto") or "", "-c", str(folder / "mosquitto.conf")]
        server = Daemon(argv, folder, port)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


def _passwords(folder: Path, users: Mapping[str, str]) -> Path:
    place = folder / "passwords"
    place.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    place.chmod(0o600)
    program = program_path("mosquitto_passwd") or ""
    subprocess.run([program, "-U", str(place)], check=True, capture_output=True, timeout=30)
    return place
