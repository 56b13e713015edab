"""What a run's pods reserve is told when it ends, so that a bill can price their time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.cli.test_run import DONE, GOING, job
from torpor.functions.runs.seen import run_job_seen
from torpor.functions.runs.telling import Teller
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import REGISTRY

KEY = FunctionKey("shop", "sized")


class Silent:
    """Stands for the recorder and the API, of which nothing is asked here."""

    async def record(self, *_: Any, **__: Any) -> None:
        return


def told(resource: str) -> float | None:
    labels = {"namespace": KEY.namespace, "function": KEY.name, "resource": resource}
    return REGISTRY.get_sample_value("torpor_function_pod_size", labels)


@pytest.mark.parametrize("spec", [None, {"workload": "Job", "job": {"parallelism": "much"}}])
async def test_a_function_that_is_gone_or_not_understood_has_no_size(spec: Any) -> None:
    before = told("vcpus")
    await end(spec)
    assert told("vcpus") == before


async def test_the_size_of_the_pods_of_a_run_that_ended() -> None:
    resources = {"requests": {"cpu": "4", "memory": "8Gi"}}
    job_spec = {"workload": "Job", "job": {"gpu": {"count": 2}}}
    await end({"image": "i", "resources": resources, **job_spec})
    assert (told("vcpus"), told("memory_bytes"), told("gpus")) == (4, 8 << 30, 2)


async def end(spec: Any) -> None:
    silent: Any = Silent()
    found = {"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "spec": spec}
    teller = Teller(silent, silent, lambda _: found if spec else None)
    run = replace(DONE, key=KEY)
    seen = run_job_seen(job(run))
    assert seen is not None
    await teller.announce(seen, replace(GOING, key=KEY), run, ())
