"""`/healthz`, `/readyz` and `/metrics` of a role.

A check returns None when all is well, else a sentence that says what is not. `healthz` asks only
what a restart would mend (such as a stuck loop); `readyz` asks also whether the role can serve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from torpor.telemetry.metrics import REGISTRY

Check = Callable[[], str | None]


class HealthServer:
    """Serves the three on one port until stopped."""

    def __init__(
        self,
        live: Mapping[str, Check],
        ready: Mapping[str, Check],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._live = live
        self._ready = ready
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._live)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer({**self._live, **self._ready})

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(checks: Mapping[str, Check]) -> web.Response:
    results = {name: check() for name, check in checks.items()}
    lines = [f"{name}: {problem or 'ok'}" for name, problem in results.items()]
    failed = any(problem is not None for problem in results.values())
    return web.Response(status=503 if failed else 200, text="\n".join([*lines, ""]))
