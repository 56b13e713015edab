"""The leader's share of runs: tells of each in its Job's annotation, when there is news.

It never changes what a Job does, but deletes two that Kubernetes would keep: of a run that was
cancelled before Kueue let it begin, and of one whose namespace is being deleted. The copy of its
code that a run lacks, as its maker ended too early, it makes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import aiohttp

from torpor.errors import ApiConflict, ApiError, ApiNotFound, ApiUnavailable
from torpor.functions.runs.asking import Asker
from torpor.functions.runs.code import copy_code
from torpor.functions.runs.memory import Memory, told_of
from torpor.functions.runs.seen import RunJob, RunPod, run_pod_seen
from torpor.functions.runs.spans import run_span
from torpor.functions.runs.state import Learned, counted, run_state
from torpor.functions.runs.telling import Teller
from torpor.functions.runs.template import PROGRESS_PORT
from torpor.functions.runs.watching import RunWatch
from torpor.platform.kubernetes import KubernetesApi, ObjectKey, Reflector, Selection, WorkQueue
from torpor.platform.kubernetes.resources import JOBS, NAMESPACES, PODS
from torpor.resources.conditions import moment
from torpor.resources.names import LABEL_RUN
from torpor.resources.run import Run
from torpor.telemetry import logs
from torpor.telemetry.tracing import Emit

LOG = logging.getLogger(__name__)

ASK_SECONDS = 10.0
"""How often a run's pods are asked for their progress, and why it has none."""
RUNS_PER_SECOND = 200.0
RESYNC_SECONDS = 600.0
WORK_SECONDS = 60.0
WORKERS = 4


class RunLeader:
    """Works runs off during one leadership. The session is the caller's."""

    def __init__(
        self,
        api: KubernetesApi,
        watch: RunWatch,
        teller: Teller,
        session: aiohttp.ClientSession,
        namespace: str,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        port: int = PROGRESS_PORT,
        ask_seconds: float = ASK_SECONDS,
        emit: Emit | None = None,
    ) -> None:
        """`clock` is monotonic; `wall` returns the time of day; `emit` takes the runs' spans.

        Pods are asked at `port`, once in `ask_seconds`.
        """
        self._api = api
        self._watch = watch
        self._teller = teller
        self._asker = Asker(session, port)
        self._clock = clock
        self._wall = wall
        self._ask_seconds = ask_seconds
        self._emit = emit
        self._memory: dict[ObjectKey, Memory] = {}
        self._queue = WorkQueue[ObjectKey](rate_per_second=RUNS_PER_SECOND)
        self._pods = Reflector[RunPod](
            api, Selection(PODS, namespace, LABEL_RUN), run_pod_seen, self._pod_changed
        )

    async def run(self) -> None:
        """Lead until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pods.run(), name="reflect pods of runs")
            group.create_task(self._resync(), name="resync runs")
            await self._pods.synced.wait()
            for key in self._watch.all():
                self._queue.add(key)
            group.create_task(self._queue.run(WORKERS, self._work), name="run workers")
            group.create_task(self._show(), name="gauges of runs")

    def changed(self, key: ObjectKey) -> None:
        """Have the run looked at."""
        self._queue.add(key)

    def _pod_changed(self, _key: ObjectKey, old: RunPod | None, new: RunPod | None) -> None:
        pod = new or old
        assert pod is not None, "something changed"
        run = ObjectKey(pod.namespace, pod.run)
        pods = self._memory.setdefault(run, Memory()).pods
        if new is None and pod.exit_code is None:
            pods.pop(pod.uid, None)
        else:
            # One that ended told something; what is missed here is asked for at the end.
            pods[pod.uid] = pod
        self._queue.add(run)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            for key in self._watch.all():
                self._queue.add(key)

    async def _show(self) -> None:
        while True:
            self._teller.show((job, told_of(job)) for job in self._watch.all().values())
            await asyncio.sleep(self._ask_seconds)

    async def _work(self, key: ObjectKey) -> float | None:
        try:
            with logs.bound(run=f"{key.namespace}/{key.name}"):
                async with asyncio.timeout(WORK_SECONDS):
                    return await self._reconcile(key)
        except TimeoutError:
            text = f"looking at the run {key.namespace}/{key.name} took over {WORK_SECONDS:g} s"
            raise ApiUnavailable(0, "Timeout", text) from None

    async def _reconcile(self, key: ObjectKey) -> float | None:
        """Tell of one run what is new; return after how many seconds to look again, if at all."""
        job = self._watch.get(key.namespace, key.name)
        if job is None:
            return self._gone(key)
        memory = self._memory.setdefault(key, Memory())
        before = memory.latest(job)
        if before and before.state.is_final:
            self._forget(key)
            return await self._collect(job)
        if job.is_over:
            await self._read_pods(key, memory)
        elif memory.is_due(self._clock(), self._ask_seconds):
            await self._ask(job, memory)
        now = run_state(job, tuple(memory.pods.values()), self._learned(job, memory))
        if now != before:
            await self._tell(job, memory, before, now)
        return self._ask_seconds

    def _learned(self, job: RunJob, memory: Memory) -> Learned:
        return Learned(
            before=memory.latest(job),
            earlier=memory.counted_earlier(job),
            now=self._wall().isoformat(),
            progress=memory.progress,
            blocked=memory.blocked,
        )

    async def _tell(self, job: RunJob, memory: Memory, before: Run | None, now: Run) -> None:
        try:
            until = counted(memory.pods.values(), memory.counted_earlier(job))
            await self._teller.write(job, now, until)
        except (ApiNotFound, ApiConflict):
            return  # it is another Job of that name, or none: the watch is about to show it
        memory.told = now
        await self._teller.announce(job, before, now, memory.pods.values())
        self._tell_span(job, now)

    def _tell_span(self, job: RunJob, run: Run) -> None:
        if self._emit is None or not run.state.is_final or not run.finished:
            return
        times = moment(job.created).timestamp(), moment(run.finished).timestamp()
        span = run_span(run, job.trace, *times)
        if span is not None:
            self._emit(span)

    async def _ask(self, job: RunJob, memory: Memory) -> None:
        memory.asked_at = self._clock()
        alive = [pod for pod in memory.pods.values() if pod.exit_code is None]
        memory.blocked = await self._keep_code(job, memory)
        if not alive and not job.suspended:
            memory.blocked = memory.blocked or await self._teller.obstacle(job)
            await self._let_go(job)
        memory.progress.update(await self._asker.ask(alive))

    async def _keep_code(self, job: RunJob, memory: Memory) -> str:
        """Make the copy of the run's code if its maker did not; return what is in the way."""
        if memory.has_code or not job.code:
            return ""
        try:
            await copy_code(self._api, job)
        except ApiNotFound:
            return f"the ConfigMap {job.code_source} with its code is gone: start another run"
        except ApiUnavailable:
            raise
        except ApiError as error:
            return f"the copy of its code cannot be made: {error}"
        memory.has_code = True
        return ""

    async def _let_go(self, job: RunJob) -> None:
        """Delete the Job if its namespace is being deleted, which would wait for it otherwise.

        Kubernetes deletes the Jobs of a namespace after its pods, and keeps the pod of an index
        that failed until there is another one, which may not be made in such a namespace.
        """
        try:
            namespace = await self._api.get(NAMESPACES, "", job.key.namespace)
            if "deletionTimestamp" in namespace["metadata"]:
                await self._api.delete(JOBS, job.key.namespace, job.id, uid=job.uid)
        except (ApiNotFound, ApiConflict):
            LOG.debug("the namespace, or the run in it, was gone already")

    async def _read_pods(self, key: ObjectKey, memory: Memory) -> None:
        """Take in how the pods ended: the watch of Jobs may be ahead of that of pods."""
        chosen = Selection(PODS, key.namespace, f"{LABEL_RUN}={key.name}")
        for obj in (await self._api.list(chosen)).items:
            if pod := run_pod_seen(obj):
                memory.pods[pod.uid] = pod

    async def _collect(self, job: RunJob) -> float | None:
        """Delete the Job of a run that was cancelled and never began, once its time is over."""
        if job.ending or not job.cancelled:
            return None
        due = moment(job.cancelled) + timedelta(seconds=job.ttl_seconds)
        left = (due - self._wall()).total_seconds()
        if left > 0:
            return left
        try:
            await self._api.delete(JOBS, job.key.namespace, job.id, uid=job.uid)
        except (ApiNotFound, ApiConflict):
            LOG.debug("a cancelled run was gone already")
        return None

    def _gone(self, key: ObjectKey) -> float | None:
        """Forget a run without a Job, unless it has pods: then its Job is only not seen yet."""
        memory = self._memory.get(key, Memory())
        if any(self._pods.get(key.namespace, pod.name) for pod in memory.pods.values()):
            return self._ask_seconds
        self._forget(key)
        return None

    def _forget(self, key: ObjectKey) -> None:
        self._memory.pop(key, None)
