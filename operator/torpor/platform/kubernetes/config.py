"""Where the API server is and how to prove who we are: a pod's service account, or a kubeconfig.

The `kubernetes` package is imported only for a kubeconfig: it is large, and only the CLI and the
tests run outside of a cluster.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torpor.errors import TorporError
from torpor.platform.kubernetes.throttle import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_AGE_SECONDS = 60.0
"""The kubelet renews a token at 80 % of its life (of an hour at least), so a minute is early."""


class NoCluster(TorporError):
    """Neither a service account nor a usable kubeconfig is at hand."""

    code = "no-cluster"


class Credentials(Protocol):
    """What goes into the `Authorization` header."""

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the next request."""
        ...

    async def refresh(self) -> None:
        """Forget what was cached, because the server answered 401."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """An API server's URL, the TLS settings (None: plain HTTP), and who we are."""

    server: str
    tls: ssl.SSLContext | None
    credentials: Credentials


class TokenFile:
    """A bearer token in a file that is replaced while we run."""

    def __init__(self, path: Path, clock: Clock = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._read_at = float("-inf")
        self._token = ""

    def headers(self) -> Mapping[str, str]:
        """Return the token as the file had it at most a minute ago; OSError if it is gone."""
        now = self._clock()
        if now - self._read_at > TOKEN_AGE_SECONDS:
            self._token = self._path.read_text(encoding="ascii").strip()
            self._read_at = now
        return {"Authorization": f"Bearer {self._token}"}

    async def refresh(self) -> None:
        """Read the file again at the next request."""
        self._read_at = float("-inf")


class Kubeconfig:
    """The user of a kubeconfig's context: a token, or an exec or OIDC login made again on 401."""

    def __init__(self, path: str | None, context: str | None) -> None:
        self._path = path
        self._context = context
        self.loaded = _load_kubeconfig(path, context)

    def headers(self) -> Mapping[str, str]:
        """Return the header that the login gave; none where a client certificate does the work."""
        for name in ("BearerToken", "authorization"):
            value = self.loaded.get_api_key_with_prefix(name)
            if value:
                return {"Authorization": str(value)}
        return {}

    async def refresh(self) -> None:
        """Log in again."""
        self.loaded = await asyncio.to_thread(_load_kubeconfig, self._path, self._context)


def in_cluster(
    environment: Mapping[str, str] = os.environ, folder: Path = SERVICE_ACCOUNT
) -> Access | None:
    """Return the access of this pod's service account, or None outside of a cluster."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    token = folder / "token"
    if not host or not token.exists():
        return None
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    shown = f"[{host}]" if ":" in host else host
    tls = _context(str(folder / "ca.crt"))
    return Access(f"https://{shown}:{port}", tls, TokenFile(token))


def from_kubeconfig(path: str | None = None, context: str | None = None) -> Access:
    """Return the access that a kubeconfig describes ($KUBECONFIG or ~/.kube/config by default).

    Raises NoCluster when the file, the context or the `kubernetes` package is missing.
    """
    credentials = Kubeconfig(path, context)
    loaded = credentials.loaded
    server = str(loaded.host).rstrip("/")
    return Access(server, _tls(loaded) if server.startswith("https:") else None, credentials)


def _load_kubeconfig(path: str | None, context: str | None) -> Any:
    try:
        from kubernetes import client, config
    except ImportError:
        raise NoCluster("a kubeconfig needs the extra `cli`: install torpor[cli]") from None
    loaded = client.Configuration()
    load: Any = config.load_kube_config  # the package is untyped
    try:
        load(path, context, client_configuration=loaded)
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"kubeconfig {path or '(default)'}: {error}") from error
    return loaded


def _context(authority: str | None) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=authority)
    # Python 3.13 began to refuse authorities without an Authority Key Identifier, which those of
    # several managed clusters are (kubernetes-client/python issue 2394).
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls


def _tls(loaded: Any) -> ssl.SSLContext:
    tls = _context(loaded.ssl_ca_cert)
    if not loaded.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if loaded.cert_file:
        tls.load_cert_chain(loaded.cert_file, loaded.key_file)
    return tls


def find_access() -> Access:
    """Return the pod's service account, else the kubeconfig's; NoCluster if there is neither."""
    return in_cluster() or from_kubeconfig()
