"""How much of payloads and results is in memory at once: beyond it, calls are sent back or wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from torpor.gateway.lambda_api.errors import MOST_BYTES, no_room, throttled
from torpor.invoke import Answer, AnswerTooLong

MEMORY_BYTES = 192 * 1024 * 1024
"""What the payloads and results of all calls that are done now may take together."""
EACH_BYTES = 32 * 1024
"""What a call takes besides its payload and its result."""
STREAM_BYTES = 256 * 1024
"""What one takes whose result is passed on part by part: the buffers on both sides."""
WAIT_SECONDS = 30.0
"""How long a result waits for room."""
_RESULTS_SHARE = 4
"""Payloads leave one part in so many to results, so that no result waits for another call's."""


class Room:
    """What one call has of the memory."""

    def __init__(self, memory: Memory, size_bytes: int) -> None:
        self._memory = memory
        self.size_bytes = size_bytes

    async def more(self, size_bytes: int) -> None:
        """Take so much more as soon as it is there; ServiceException when it never is."""
        await self._memory.wait_for(size_bytes)
        self.size_bytes += size_bytes

    def less(self, size_bytes: int) -> None:
        """Give so much back."""
        self.size_bytes -= size_bytes
        self._memory.give_back(size_bytes)


class Memory:
    """The payloads and results of the calls that are done now."""

    def __init__(self, most_bytes: int) -> None:
        self._left_bytes = most_bytes
        self._for_results_bytes = most_bytes // _RESULTS_SHARE
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextmanager
    def taken(self, payload_bytes: int | None, besides_bytes: int = EACH_BYTES) -> Iterator[Room]:
        """Count a payload while its call is done, one of unknown length as the longest.

        TooManyRequestsException when there is no room for it.
        """
        known = MOST_BYTES if payload_bytes is None else min(payload_bytes, MOST_BYTES)
        size = known + besides_bytes
        if size > self._left_bytes - self._for_results_bytes:
            message = "Too many payloads are in this gateway's memory: send it again"
            raise throttled(message, "ConcurrentInvocationLimitExceeded", 1)
        self._left_bytes -= size
        room = Room(self, size)
        try:
            yield room
        finally:
            self.give_back(room.size_bytes)

    async def wait_for(self, size_bytes: int) -> None:
        """Take so much, first come first served; ServiceException after `WAIT_SECONDS`."""
        if not self._waiting and size_bytes <= self._left_bytes:
            self._left_bytes -= size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (size_bytes, turn)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError:
            self._give_up(waiting)
            raise no_room() from None
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise

    def _give_up(self, waiting: tuple[int, asyncio.Future[None]]) -> None:
        size, turn = waiting
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        came = turn.done() and not turn.cancelled()  # at the moment that it gave up
        self.give_back(size if came else 0)  # those behind it may want less

    def give_back(self, size_bytes: int) -> None:
        """Have so much back, and give it to those who wait."""
        self._left_bytes += size_bytes
        while self._waiting and self._waiting[0][0] <= self._left_bytes:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._left_bytes -= wanted
                turn.set_result(None)


async def read_answer(answer: Answer, room: Room) -> bytes:
    """Return the body of an answer, which is read once there is room for it.

    AnswerTooLong beyond `MOST_BYTES`; one of unknown length counts as the longest until it is read.
    """
    expected = _length(answer)
    if expected > MOST_BYTES:
        raise AnswerTooLong(f"the answer is longer than {MOST_BYTES} bytes")
    await room.more(expected)
    body = await answer.read(MOST_BYTES)
    room.less(max(0, expected - len(body)))
    return body


def _length(answer: Answer) -> int:
    """Return how long the body may be; an encoded one is longer than its header says."""
    given = {name.lower(): value for name, value in answer.headers.items()}
    length = given.get("content-length", "")
    known = length.isascii() and length.isdigit() and "content-encoding" not in given
    return int(length) if known else MOST_BYTES
