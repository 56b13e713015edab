"""Kopf in a thread of its own, naming the key of every object that something happened to.

Kopf takes every task of its event loop for its own and cancels them when it ends: hence the
thread. Its handlers write nothing. When Kopf ends, whoever runs it is told with an error.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import kopf
from kopf._cogs.structs.credentials import Vault  # an argument of kopf.operator without public name

from torpor.errors import TorporError
from torpor.platform.kubernetes import Access
from torpor.platform.kubernetes.config import TokenFile
from torpor.resources import names
from torpor.resources.names import FunctionKey

KOPF_STOP_SECONDS = 10.0
KOPF_IDENTITY = "torpor"


class KopfEnded(TorporError):
    """Kopf stopped by itself, such as on an error event in a watch; a restart mends it."""

    code = "kopf-ended"


class KopfThread:
    """Kopf in a thread: `named` has, by plural, what is called with the key of each such object.

    The calls are made on the loop that started it.
    """

    def __init__(
        self, access: Access, namespace: str, named: Mapping[str, Callable[[FunctionKey], None]]
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._named = named

    async def run(self) -> None:
        """Watch until cancelled; KopfEnded if Kopf ends before."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._thread, args=(loop, ended, stop), name="kopf", daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(ended)
            raise KopfEnded("Kopf ended without an error")
        finally:
            stop.set()
            await asyncio.to_thread(thread.join, KOPF_STOP_SECONDS)

    def _thread(
        self,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[None],
        stop: threading.Event,
    ) -> None:
        error: KopfEnded | None = None
        try:
            asyncio.run(self._operate(loop, stop))
        except Exception as cause:  # whatever ended Kopf ends the process
            error = KopfEnded(f"Kopf ended: {cause!r}")
            error.__cause__ = cause
        loop.call_soon_threadsafe(_settle, ended, error)

    async def _operate(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        vault = Vault()
        try:
            await kopf.operator(
                registry=self._registry(loop),
                vault=vault,
                settings=_kopf_settings(),
                clusterwide=not self._namespace,
                namespaces=[self._namespace] if self._namespace else (),
                standalone=True,
                # Else Kopf asks for the user's name, which in a container has none.
                identity=KOPF_IDENTITY,  # type: ignore[arg-type]
                stop_flag=stop,
            )
        finally:
            # Kopf waits for the flag in a thread, which would keep the loop from closing.
            stop.set()
            # Kopf closes its connections only when it ends without an error.
            await vault.close()

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            return _login(self._access, **kwargs)

        for plural, named in self._named.items():
            _on_event(registry, plural, partial(_call_on, loop, named))
        return registry


def _on_event(
    registry: kopf.OperatorRegistry, plural: str, named: Callable[[FunctionKey], None]
) -> None:
    @kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry)
    async def happened(namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace and name:
            named(FunctionKey(namespace, name))


def _call_on(
    loop: asyncio.AbstractEventLoop, named: Callable[[FunctionKey], None], key: FunctionKey
) -> None:
    loop.call_soon_threadsafe(named, key)


def _settle(ended: asyncio.Future[None], error: KopfEnded | None) -> None:
    if ended.done():
        return
    if error:
        ended.set_exception(error)
    else:
        ended.set_result(None)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    # A worker of each object stays for so long after its last event; 5 s of a thousand new objects
    # are 20 MiB.
    settings.queueing.idle_timeout = 0.5
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 600
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    return settings


def _login(access: Access, **kwargs: Any) -> kopf.ConnectionInfo | None:
    if access.server.startswith("http:"):
        return kopf.ConnectionInfo(server=access.server)
    if isinstance(access.credentials, TokenFile):
        return kopf.login_with_service_account(**kwargs)
    return kopf.login_with_kubeconfig(**kwargs)
