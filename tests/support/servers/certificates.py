"""An authority of the test's own, with a certificate for a server on the loopback and a client."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files in one folder."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @property
    def secret(self) -> dict[str, bytes]:
        """What a Trigger's Secret holds of them."""
        return {
            "ca.crt": self.ca.read_bytes(),
            "tls.crt": self.client.read_bytes(),
            "tls.key": self.client_key.read_bytes(),
        }


def certificates(folder: Path) -> Certificates:
    """Make them, with openssl."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl(
        "req", "-x509", *_new_key(ca_key), "-subj", "/CN=test authority", "-days", "2",
        "-out", str(ca),
    )  # fmt: skip
    made = Certificates(
        ca,
        folder / "server.pem",
        folder / "server.key",
        folder / "client.pem",
        folder / "client.key",
    )
    _sign(folder, made.server, made.server_key, "localhost")
    _sign(folder, made.client, made.client_key, "client")
    return made


def _sign(folder: Path, certificate: Path, key: Path, name: str) -> None:
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    _openssl("req", *_new_key(key), "-subj", f"/CN={name}", "-out", str(request))
    _openssl(
        "x509", "-req", "-in", str(request), "-CA", str(folder / "ca.pem"),
        "-CAkey", str(folder / "ca.key"), "-CAcreateserial", "-days", "2",
        "-extfile", str(extensions), "-out", str(certificate),
    )  # fmt: skip
    key.chmod(0o644)  # brokers give up root before they read it


def _new_key(path: Path) -> list[str]:
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    return [*kind, "-nodes", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
