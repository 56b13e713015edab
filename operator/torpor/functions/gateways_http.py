"""The gateways over their internal HTTP API: all asked at once, none waited for longer than set.

A gateway that is leaving is asked like the others until nobody listens there any more: its internal
API ends after its last request. One that was never ready, such as one that crashes at its start,
has nothing inside when nobody listens there.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import aiohttp

from torpor.platform.kubernetes.members import GatewayPod
from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey

LOG = logging.getLogger(__name__)
LOAD_SECONDS = 0.8
PARK_ANSWER_SECONDS = 1.8
"""A gateway waits up to a second for what is in flight before it answers."""
SETTLE_SECONDS = 1.0

Members = Callable[[], Mapping[str, GatewayPod]]
"""Returns each gateway that may have requests inside by name, as known now."""
Answer = TypeVar("Answer")
_FAILURES = (
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)


class _Missing(Enum):
    """Why a gateway gave no answer."""

    SILENT = "it may have requests inside"
    GONE = "it was leaving, or never ready, and nobody listens there: nothing can be inside"


class HttpGateways:
    """Implements `Gateways`. The session is the caller's and stays open as long as this is used."""

    def __init__(
        self, session: aiohttp.ClientSession, members: Members, token: str, port: int = 8090
    ) -> None:
        self._session = session
        self._members = members
        self._headers = {"Authorization": f"Bearer {token}"}
        self._port = port
        self._failing: set[str] = set()

    async def loads(self) -> tuple[Sequence[GatewayLoad], int]:
        """Return the load of every gateway that answered, and how many did not."""
        answers, silent = await self._ask_all("load", self._load)
        return answers, silent

    async def park(self, key: FunctionKey) -> Sequence[ParkAnswer] | None:
        """Park the function on every gateway; None unless every one of them acknowledged."""
        answers, silent = await self._ask_all("park", lambda address: self._park(address, key))
        return None if silent else answers

    async def settle(self, key: FunctionKey, *, scaled: bool) -> None:
        """End the parking everywhere; a gateway that cannot be told unparks by itself."""
        body = {"function": str(key), "scaled": scaled}
        await self._ask_all("settle", lambda address: self._settle(address, body))

    async def _ask_all(
        self, verb: str, ask: Callable[[str], Coroutine[Any, Any, Answer]]
    ) -> tuple[list[Answer], int]:
        """Return the answers, and how many gateways that may have requests inside gave none."""
        members = self._members()
        self._failing &= members.keys()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._one(name, pod, ask(pod.address)), name=f"{verb} {name}")
                for name, pod in members.items()
            ]
        results = [task.result() for task in tasks]
        answers = [item for item in results if not isinstance(item, _Missing)]
        return answers, results.count(_Missing.SILENT)

    async def _one(
        self, name: str, pod: GatewayPod, call: Coroutine[Any, Any, Answer]
    ) -> Answer | _Missing:
        try:
            answer = await call
        except _FAILURES as error:
            if (pod.killed_at or pod.never_ready) and _refused(error):
                return _Missing.GONE
            if name not in self._failing:  # once, not every second
                self._failing.add(name)
                LOG.warning(
                    "gateway %s does not answer: %s", name, str(error) or type(error).__name__
                )
            return _Missing.SILENT
        self._failing.discard(name)
        return answer

    async def _load(self, address: str) -> GatewayLoad:
        return GatewayLoad.from_json(await self._call("GET", address, "load", None, LOAD_SECONDS))

    async def _park(self, address: str, key: FunctionKey) -> ParkAnswer:
        body = {"function": str(key)}
        return ParkAnswer.from_json(
            await self._call("POST", address, "park", body, PARK_ANSWER_SECONDS)
        )

    async def _settle(self, address: str, body: Mapping[str, Any]) -> bool:
        await self._call("POST", address, "settle", body, SETTLE_SECONDS)
        return True

    async def _call(
        self, method: str, address: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> Any:
        host = f"[{address}]" if ":" in address else address
        async with self._session.request(
            method,
            f"http://{host}:{self._port}/v1/{path}",
            json=body,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
            raise_for_status=True,
        ) as answer:
            return None if answer.status == 204 else await answer.json()


def _refused(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
