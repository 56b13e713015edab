"""How far the records of a group's partitions are stored, and telling the broker of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from aiokafka import (  # type: ignore[import-untyped]
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.errors import (  # type: ignore[import-untyped]
    CommitFailedError,
    IllegalStateError,
    KafkaError,
)

from torpor.triggers.base import SourceAway
from torpor.triggers.sources.access import Beginning

_ANSWER_SECONDS: Final = 10.0


class Offsets(ConsumerRebalanceListener):  # type: ignore[misc]
    """Commits what was acknowledged, of partitions that are this consumer's now.

    A partition may go to another consumer while its records are being stored here: that one reads
    them again, under the same ids.
    """

    def __init__(self, consumer: AIOKafkaConsumer, beginning: Beginning) -> None:
        self._consumer = consumer
        self._beginning = beginning
        self._stored: dict[Any, int] = {}
        self._epoch = 0
        self._problem: Exception | None = None
        self.assigned = asyncio.Event()

    @property
    def epoch(self) -> int:
        """Changes with each assignment: what was taken before another one is not committed."""
        return self._epoch

    def store(self, epoch: int, partition: Any, offset: int) -> None:
        """Remember that the record at `offset`, and all before it, are stored."""
        if epoch == self._epoch:
            self._stored[partition] = offset + 1

    def fail(self, problem: Exception) -> None:
        """Let the next `commit` raise this."""
        self._problem = problem

    async def commit(self) -> None:
        """Tell the broker; SourceAway when it does not answer or something was not stored."""
        stored, self._stored = self._stored, {}
        await self._commit(stored)
        if self._problem is not None:
            raise self._problem

    async def finish(self) -> None:
        """Commit at the end of reading; what cannot be is read again, under the same ids."""
        stored, self._stored = self._stored, {}
        with contextlib.suppress(KafkaError, SourceAway):
            await self._commit(stored)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Commit while these partitions still are ours (called by aiokafka)."""
        stored, self._stored = self._stored, {}
        self._epoch += 1
        try:
            await self._commit(stored)
        except (KafkaError, SourceAway) as error:  # aiokafka would drop what is raised here
            self.fail(error)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Give partitions that the group never read a beginning that holds (called by aiokafka)."""
        try:
            await self._begin([TopicPartition(*each) for each in assigned])
        except (KafkaError, TimeoutError) as error:  # aiokafka would drop what is raised here
            self.fail(error)
        self.assigned.set()

    async def _begin(self, assigned: list[Any]) -> None:
        """Commit the beginning at once.

        Else `latest` would be later for who takes the partition over before the first commit.
        """
        async with asyncio.timeout(_ANSWER_SECONDS):
            fresh = [each for each in assigned if await self._consumer.committed(each) is None]
            if not fresh:
                return
            find = self._consumer.end_offsets
            if self._beginning is Beginning.EARLIEST:
                find = self._consumer.beginning_offsets
            begins = await find(fresh)
            for partition, offset in begins.items():
                self._consumer.seek(partition, offset)
            await self._consumer.commit(begins)

    async def _commit(self, stored: dict[Any, int]) -> None:
        ours = self._consumer.assignment()
        offsets = {partition: offset for partition, offset in stored.items() if partition in ours}
        if not offsets:
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            return  # the group was dealt anew meanwhile: they are read again, by whose they are
        except TimeoutError:
            raise SourceAway("Kafka does not take the offsets that were read") from None
