"""Whoever may write Jobs and pods in one namespace: what that does to all others' runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.cli.test_run import DONE, GOING, PROGRESS, job
from torpor.functions.runs.memory import told_of, written
from torpor.functions.runs.seen import RunJob, run_job_seen, run_pod_seen
from torpor.functions.runs.telling import Teller
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run
from torpor.telemetry.metrics import REGISTRY

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def seen(run: Run, **wrong: Any) -> RunJob:
    """Return a Job whose annotation says this of its run, with what is wrong in it."""
    obj = job(run)
    told = {**run.to_json(), **wrong}
    obj["metadata"]["annotations"] = {"torpor.dev/run": json.dumps(told)}
    found = run_job_seen(obj)
    assert found is not None
    return found


def teller() -> Teller:
    """Return one that has nobody to tell but the metrics."""
    nobody: Any = None
    return Teller(nobody, nobody, lambda _: None)


def gauge(name: str, key: FunctionKey) -> float | None:
    labels = {"namespace": key.namespace, "function": key.name}
    return REGISTRY.get_sample_value(name, labels)


@pytest.mark.parametrize(
    "progress", [{"unit": "x"}, {}, [["ratio", "x"]], {"ratio": {}}, {"ratio": 1e999}], ids=repr
)
def test_progress_that_is_none_leaves_the_gauges_of_all_runs_right(progress: Any) -> None:
    odd = seen(replace(GOING, key=FunctionKey("theirs", "odd")), progress=progress)
    ours = seen(replace(GOING, key=FunctionKey("shop", "gauged")))
    teller().show((it, told_of(it)) for it in (odd, ours))
    assert gauge("torpor_run_active", odd.key) == 1
    assert gauge("torpor_run_progress_ratio", odd.key) == 0
    assert gauge("torpor_run_progress_ratio", ours.key) == PROGRESS["ratio"]


@pytest.mark.parametrize("progress", [{"unit": "x"}, {"ratio": "half"}, {"ratio": 10**400}])
def test_a_run_that_cannot_be_shown_is_logged_once_and_hides_no_other(
    progress: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "torpor.functions.runs.telling")
    odd, ours = seen(replace(GOING, id="odd")), seen(replace(GOING, key=FunctionKey("shop", "x")))
    runs = [(odd, replace(GOING, progress=progress)), (ours, GOING)]
    telling = teller()
    telling.show(runs)
    telling.show(runs)
    assert gauge("torpor_run_progress_ratio", ours.key) == PROGRESS["ratio"]
    assert [record.getMessage() for record in caplog.records] == [
        "the progress of a run cannot be read"
    ]


def test_the_names_of_a_run_are_those_of_its_job() -> None:
    others = {"id": "x; rm -rf ~ #", "namespace": "x; true", "function": "\x1b[2J"}
    times = {"created": "yesterday", "started": "2026-01-01T00:00:00", "finished": "\n"}
    found = written(seen(DONE, **others, **times))
    assert found == replace(DONE, started="", finished="")


@pytest.mark.parametrize("amount", ["inf", "nan", float("inf")])
def test_a_run_took_no_time_that_is_no_number(amount: Any) -> None:
    assert told_of(seen(DONE, podSeconds=amount)).pod_seconds == 0


def test_what_no_text_can_be_is_nothing_that_was_told() -> None:
    assert written(seen(DONE, message="half a letter: \ud800")) is None


def test_what_was_told_is_read_as_it_was_told() -> None:
    assert [written(seen(run)) for run in (DONE, GOING)] == [DONE, GOING]


@pytest.mark.parametrize("note", [INDEX, FAILURES])
@pytest.mark.parametrize("text", ["first", "-1", "1" * 5000, "²"], ids=["word", "-1", "long", "²"])
def test_a_pod_that_was_not_numbered_by_kubernetes_is_none_of_a_run_s(note: str, text: str) -> None:
    meta = {
        "name": "p",
        "namespace": "shop",
        "uid": "u",
        "labels": {"torpor.dev/run": "encode-1"},
        "annotations": {INDEX: "3", FAILURES: "1"},
    }
    pod = run_pod_seen({"metadata": meta})
    assert pod is not None
    assert (pod.index, pod.attempt) == (3, 2)
    assert run_pod_seen({"metadata": {**meta, "annotations": {note: text}}}) is None


def test_a_job_of_more_indexes_than_a_run_may_have_is_none() -> None:
    most, more = job(DONE), job(DONE)
    most["spec"]["completions"], more["spec"]["completions"] = 10_000, 2**31 - 1
    assert run_job_seen(most) is not None
    assert run_job_seen(more) is None
