"""Asks the pods of a run how far they are. A pod that does not answer has nothing to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import aiohttp
import orjson

from torpor.functions.runs.progress import Progress, understood
from torpor.functions.runs.seen import RunPod
from torpor.telemetry.bodies import bounded

ANSWER_SECONDS = 2.0
MOST_PODS = 64
"""Of one run, in one round: those of the lowest indexes."""
_AT_ONCE = 16
_MAX_BYTES = 8192


class Asker:
    """Asks over `session` at the pods' `port`."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._port = port
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, pods: Iterable[RunPod]) -> Mapping[int, Progress]:
        """Return by index what the pods that run told."""
        running = [pod for pod in pods if pod.is_running and pod.address and not pod.leaving]
        asked = sorted(running, key=lambda pod: pod.index)[:MOST_PODS]
        async with asyncio.TaskGroup() as group:
            tasks = {
                pod.index: group.create_task(self._ask(pod), name=f"progress of {pod.name}")
                for pod in asked
            }
        answers = {index: task.result() for index, task in tasks.items()}
        return {index: told for index, told in answers.items() if told is not None}

    async def _ask(self, pod: RunPod) -> Progress | None:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url = f"http://{host}:{self._port}/progress"
        async with self._places:
            try:
                async with (
                    asyncio.timeout(ANSWER_SECONDS),
                    self._session.get(url, allow_redirects=False) as answer,
                ):
                    if answer.status != 200:
                        return None
                    told = await bounded(answer.content, _MAX_BYTES)
                    return None if told is None else understood(orjson.loads(told))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                return None
