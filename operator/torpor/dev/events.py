"""The events role of `torpor dev`: a nats-server, sources, deliveries and the APIs in this run.

It is wired as in a cluster, the Triggers included: they are put through the internal API, so that
what is refused here is refused there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import aiohttp

from torpor.dev.events_note import EventsNote, left
from torpor.dev.folder import Folder
from torpor.dev.nats import running_nats
from torpor.dev.state import kept_key
from torpor.dev.triggers import FolderSecrets, LocalTrigger, bucket_of, polled
from torpor.invoke import Invoker
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.resources.trigger import TargetKind, Trigger
from torpor.telemetry.tracing import Keep, exporting
from torpor.triggers.assembly import EventsRole, Surroundings, running
from torpor.triggers.broker.connection import BrokerSettings
from torpor.triggers.delivery.capacity import Capacity
from torpor.triggers.delivery.workflow_target import EngineClient
from torpor.triggers.implied import is_implied
from torpor.triggers.standings import (
    EventsAway,
    Standing,
    Standings,
    TargetFacts,
    TriggerRefused,
    Wanted,
)
from torpor.triggers.wanted import facts_of, instances_for

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
_READY_SECONDS = 30.0
_DRAIN_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_LAST_SPANS_SECONDS = 2.0
_FAILURES = (TriggerRefused, EventsAway)
_NO_LAGS: Mapping[FunctionKey, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Around:
    """Where the role finds what: `engine` is the execution API's URL, empty without Workflows.

    Its state is in `place`; each folder in `objects` is a bucket. `functions_key` is the secret
    that the functions' tokens derive from.
    """

    place: Path
    objects: Path
    gateway: str
    engine: str
    capacity: Capacity
    port: int
    functions_key: bytes = field(repr=False)
    keep: Keep | None = None


class LocalEvents:
    """Takes and delivers the events of a folder's Triggers."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._secrets = FolderSecrets({})
        self._broker: BrokerSettings | None = None
        self._standings: Standings | None = None
        self._known: dict[FunctionKey, tuple[LocalTrigger, Wanted]] = {}
        self._task: asyncio.Task[None] | None = None
        self.admin = ""
        """The URL of its internal API; empty while it is not up."""
        self.lags: Mapping[FunctionKey, Mapping[str, float]] = _NO_LAGS
        self.rows: tuple[Standing, ...] = ()

    @property
    def url(self) -> str:
        """Where the events API listens."""
        return f"http://{HOST}:{self._around.port}"

    @property
    def port(self) -> int:
        """The port of the events API."""
        return self._around.port

    @property
    def token(self) -> str:
        """What its internal API asks for, and the gateway hands calls over with."""
        return internal_token(kept_key(self._around.place / "key"))

    def greeting(self) -> Iterator[str]:
        """How to reach it, in lines for the person at the terminal."""
        yield f"events API: export TORPOR_EVENTS={self.url}"
        yield f"  boto3.client('events', endpoint_url='{self.url}', region_name='us-east-1',"
        yield "               aws_access_key_id='any', aws_secret_access_key='any'), or 'sqs'"
        yield f"buckets of storage Triggers are folders in {self._around.objects}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Have the broker inside the block; NoBroker says why it cannot."""
        self._around.objects.mkdir(parents=True, exist_ok=True)
        async with running_nats(self._around.place) as self._broker:
            yield

    @asynccontextmanager
    async def running(self, folder: Folder) -> AsyncIterator[None]:
        """Serve inside the block, which is inside that of `opened`."""
        self._secrets.fields = folder.secrets  # Triggers of an earlier run are read at once
        ready, stop = asyncio.Event(), asyncio.Event()
        task = self._task = asyncio.create_task(self._serve(ready, stop), name="events")
        task.add_done_callback(_tell)
        task.add_done_callback(lambda _: ready.set())
        try:
            await ready.wait()
            await self.follow(folder)
            yield
        finally:
            stop.set()
            await asyncio.wait((task,))

    def abandon(self) -> None:
        """End now: deliveries are not waited for, they are made again in the next run."""
        if self._task is not None:
            self._task.cancel()

    async def follow(self, folder: Folder) -> None:
        """Have these Triggers and no others; what the role refuses is said and left out."""
        self._secrets.fields = {**self._secrets.fields, **folder.secrets}
        for bucket in filter(None, map(bucket_of, folder.triggers.values())):
            (self._around.objects / bucket).mkdir(exist_ok=True)
        wanted = {
            key: (local, Wanted(polled(local.object), _facts(local, folder)))
            for key, local in folder.triggers.items()
            if not local.is_direct
        }
        try:
            await self._compare(wanted)
        except EventsAway as error:
            log.warning("Triggers that are gone from the folder are still there: %s", error)
        for key, item in wanted.items():
            if self._known.get(key) != item:
                await self._put(key, item[1])
        self._known = wanted

    async def _compare(self, wanted: Mapping[FunctionKey, tuple[LocalTrigger, Wanted]]) -> None:
        """Remove what is in force and not wanted, and say which pauses end by what is put next."""
        standings = self._standings
        for standing in await standings.survey() if standings else ():
            item = wanted.get(standing.key)
            if item is None and self._standings:
                log.info("%s is gone", standing.key)
                await self._standings.delete(standing.key)
            elif item and standing.suspended and item != self._known.get(standing.key):
                _tell_resumed(item[0].trigger)

    async def _put(self, key: FunctionKey, wanted: Wanted) -> None:
        if self._standings is None:
            return
        if wanted.function and not wanted.function.exists:
            log.warning("%s: its target is not in the folder; events wait for it", key)
        try:
            await self._standings.put(key, wanted)
        except _FAILURES as error:
            log.warning("%s: %s", key, error)

    async def _serve(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        key = kept_key(self._around.place / "key")
        async with AsyncExitStack() as stack:
            around = await self._surroundings(key, stack)
            role = await stack.enter_async_context(running(around))
            await _until_ready(role)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            url = self.admin = f"http://{HOST}:{role.internal_port}"
            self._standings = Standings(session, url, internal_token(key))
            stack.enter_context(left(around.api_port, EventsNote(url, internal_token(key))))
            watch = asyncio.create_task(self._watch(self._standings), name="watch events")
            ready.set()
            try:
                await stop.wait()
            finally:
                self._standings, self.admin = None, ""
                watch.cancel()
                await asyncio.wait((watch,))

    async def _surroundings(self, key: bytes, stack: AsyncExitStack) -> Surroundings:
        around = self._around
        assert self._broker is not None, "opened"
        engine = None
        if around.engine:
            engine = await stack.enter_async_context(EngineClient(around.engine))
        return Surroundings(
            broker=self._broker,
            key=key,
            identity=f"dev/{secrets.token_hex(8)}",
            secrets=self._secrets,
            invoker=await stack.enter_async_context(
                Invoker(around.gateway, key=around.functions_key)
            ),
            engine=engine,
            objects_url=f"file://{around.objects}",
            capacity=around.capacity,
            emit=await stack.enter_async_context(
                exporting("torpor-events", _LAST_SPANS_SECONDS, around.keep)
            ),
            drain_seconds=_DRAIN_SECONDS,
            host=HOST,
            api_port=around.port,
        )

    async def _watch(self, standings: Standings) -> None:
        """Keep the lag for the autoscaler, and how Triggers stand for the view."""
        while True:
            try:
                lags = await standings.lags()
                self.rows = tuple(await standings.survey())
            except EventsAway as error:
                log.debug("the Triggers cannot be seen: %s", error)
            else:
                self.lags = {key: self._work_in(key, each) for key, each in lags.items()}
            await asyncio.sleep(_LOOK_SECONDS)

    def _work_in(self, function: FunctionKey, lags: Mapping[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, lag in lags.items():
            if is_implied(name) and lag > 0:
                found[name] = 1.0  # deliveries wait for places, which more instances follow
                continue
            known = self._known.get(FunctionKey(function.namespace, name))
            facts = known[1].function if known else None
            if known and facts and facts.exists and lag > 0 and not known[0].trigger.suspended:
                found[name] = instances_for(lag, known[0].trigger, facts)
        return found


def _facts(local: LocalTrigger, folder: Folder) -> TargetFacts | None:
    target = local.trigger.target
    key = FunctionKey(local.key.namespace, target.name)
    if target.kind is TargetKind.FUNCTION:
        entry = folder.functions.get(key)
        return facts_of(entry.program.function if entry else None)
    if target.kind is TargetKind.WORKFLOW:
        return TargetFacts(exists=key in folder.workflows)
    return None


def _tell_resumed(trigger: Trigger) -> None:
    if not trigger.suspended:
        log.warning(
            "%s was paused and goes on as its file says; suspend: true there pauses it", trigger.key
        )


async def _until_ready(role: EventsRole) -> None:
    async with asyncio.timeout(_READY_SECONDS):
        while role.problem:  # noqa: ASYNC110 - it is asked, it does not tell
            await asyncio.sleep(0.02)


def _tell(task: asyncio.Task[None]) -> None:
    """Say why a role ended that was not told to."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("the events role ended: events wait for the next run", exc_info=error)
