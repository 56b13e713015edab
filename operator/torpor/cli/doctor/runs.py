"""Runs of Job Functions: which fail again and again, and which do not get to run? Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from torpor.cli.doctor.facts import Facts
from torpor.cli.doctor.finding import Finding, Grade
from torpor.cli.output import age, counted
from torpor.functions.runs.memory import told_of
from torpor.functions.runs.seen import run_job_seen
from torpor.resources.conditions import moment
from torpor.resources.names import LABEL_RUN, FunctionKey
from torpor.resources.run import Run, RunState

CHECK = "runs"
FAILED_IN_A_ROW = 3
"""So many runs of a Function that failed, with none in between that succeeded, are no accident."""
WAITING_SECONDS = 600
"""Pulling an image and making a node take less."""
_MOST_NAMED = 20
_QUEUED, _NODE_LOST = "Queued", "NodeLost"
_EDIT = "kubectl -n {namespace} edit function {function}"
_FAILED = {
    "OutOfMemory": f"{_EDIT}: raise resources.limits.memory",
    "DeadlineExceeded": f"{_EDIT}: raise job.timeoutSeconds",
    "BadInput": "torpor run show {run} -n {namespace} has the reason; send another input",
}
"""Of all other failures the program's own words tell the most."""
_LOGS = "torpor run logs {run} -n {namespace} --all"
_WAITS = {
    _QUEUED: "kubectl -n {namespace} get localqueues,workloads tells whether there is such a queue "
    "and what it waits for",
    _NODE_LOST: "kubectl get nodes; then do what the message says",
    "FailedCreate": "kubectl -n {namespace} describe job {run}",
}
_PODS = "kubectl -n {namespace} describe pods -l {label}={run}"


def check(facts: Facts) -> Iterator[Finding]:
    """Yield each Function whose latest runs failed, and each whose runs wait for long."""
    jobs = [job for item in facts.jobs.items if (job := run_job_seen(item)) is not None]
    runs: defaultdict[FunctionKey, list[Run]] = defaultdict(list)
    for job in jobs:
        runs[job.key].append(told_of(job))
    found = [it for of in runs.values() for it in (*_failing(of), *_waiting(of, facts))]
    found.sort(key=lambda it: it.grade is not Grade.PROBLEM)
    yield from found[:_MOST_NAMED]
    if left := found[_MOST_NAMED:]:
        what = f"{len(left)} more Functions have runs that fail or wait"
        yield Finding(left[0].grade, CHECK, what, "as above", "torpor run list -A --all")


def _failing(runs: Iterable[Run]) -> Iterator[Finding]:
    """Yield that the latest runs of one Function failed, if so many did that it is no accident."""
    ended = [it for it in runs if it.state in (RunState.SUCCEEDED, RunState.FAILED)]
    ended.sort(key=lambda run: run.finished, reverse=True)
    states = [it.state for it in ended]
    failed = states.index(RunState.SUCCEEDED) if RunState.SUCCEEDED in states else len(states)
    if failed < FAILED_IN_A_ROW:
        return
    last = ended[0]
    what = f"the last {failed} runs of Function {last.key} failed, at last {_told(last)}"
    why = "whoever calls it gets no result, and each run costs its pods' time"
    yield Finding(Grade.PROBLEM, CHECK, what, why, _command(_FAILED.get(last.reason, _LOGS), last))


def _waiting(runs: Sequence[Run], facts: Facts) -> Iterator[Finding]:
    """Yield the runs of one Function that do not get to run, together for each reason."""
    until = facts.now - timedelta(seconds=WAITING_SECONDS)
    late = [
        it
        for it in runs
        if (it.state is RunState.RUNNING and it.reason == _NODE_LOST)
        or (it.state is RunState.PENDING and it.created and moment(it.created) < until)
    ]
    for reason in dict.fromkeys(it.reason for it in late):
        same = [it for it in late if it.reason == reason]
        first = min(same, key=lambda run: run.created)
        oldest = f"the oldest was made {age(first.created, facts.now)} ago, {_told(first)}"
        what = f"{counted(len(same), 'run', 'runs')} of Function {first.key} waiting; {oldest}"
        why = "their programs do not run before what is in the way has gone"
        # Kueue may well have others go first for hours.
        grade = Grade.ADVICE if reason == _QUEUED else Grade.PROBLEM
        yield Finding(grade, CHECK, what, why, _command(_WAITS.get(reason, _PODS), first))


def _told(run: Run) -> str:
    return f"{run.id}: {run.reason}: {run.message}"


def _command(text: str, run: Run) -> str:
    namespace, function = run.key.namespace, run.key.name
    return text.format(namespace=namespace, function=function, run=run.id, label=LABEL_RUN)
