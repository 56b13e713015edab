"""The dashboard's role as people reach it: through the API server, with the token."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.cluster.api import Json
from tests.cluster.harness import SYSTEM, Lab, kubeconfig
from torpor.platform.kubernetes.resources import DEPLOYMENTS, SECRETS
from torpor.resources.tokens import SECRET_FIELD, SECRET_NAME, TOKEN_HEADER, internal_token

COMMAND = "from torpor.cli.main import main; raise SystemExit(main())"
PROXY = f"/api/v1/namespaces/{SYSTEM}/services/torpor-dashboard:http/proxy"


class Dashboard:
    """What the role shows to whoever has the internal token."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def enabled(self) -> bool:
        """Return whether the installation has one that is ready."""
        found = await self._lab.api.find(DEPLOYMENTS.path(SYSTEM, "torpor-dashboard"))
        return bool((found or {}).get("status", {}).get("readyReplicas"))

    async def get(self, path: str) -> Any:
        """Return the JSON at a path; Refused for anything but a success."""
        secret = await self._lab.api.get(SECRETS.path(SYSTEM, SECRET_NAME))
        token = internal_token(base64.b64decode(secret["data"][SECRET_FIELD]))
        proof = {TOKEN_HEADER: token}
        return json.loads(await self._lab.api.text("GET", PROXY + path, more=proof))

    async def function(self, name: str) -> Json | None:
        """Return a Function of the test's namespace as the snapshot has it."""
        snapshot = await self.get("/api/snapshot")
        key = (self._lab.namespace, name)
        return next(
            (item for item in snapshot["functions"] if (item["namespace"], item["name"]) == key),
            None,
        )


@asynccontextmanager
async def passed_on() -> AsyncIterator[str]:
    """Yield the address where `torpor dashboard` passes everything on to the role."""
    words = ("-c", COMMAND, "dashboard", "--torpor-namespace", SYSTEM)
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig()), "TORPOR_DASHBOARD": ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=environment, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("dashboard: http://"), line
        yield line.removeprefix("dashboard: ").strip()
    finally:
        process.terminate()
        await process.wait()
