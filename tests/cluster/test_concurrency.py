"""The concurrency limit is hard: also when a crowd meets a function that is asleep."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cluster.harness import Lab
from tests.cluster.traffic import at_once

REQUESTS, MOST_PODS = 100, 10


@pytest.mark.timeout(180)
async def test_hundred_at_once_never_two_in_a_pod(lab: Lab) -> None:
    host = await lab.make(
        "single",
        scaling={
            "maxReplicas": MOST_PODS,
            "idleSeconds": 5,
            "concurrency": {"target": 1, "limit": 1},
        },
    )
    await lab.zero("single")
    tally = await at_once(host, (f"/sleep?ms=500&n={n}" for n in range(REQUESTS)))
    by_pod = Counter(answer.pod for answer in tally.answers)
    took = max(answer.seconds for answer in tally.answers)
    print(f"{tally}\nall after {took:.2f} s on {len(by_pod)} pods: {sorted(by_pod.values())}")
    tally.all_200()
    most = max(int(answer.headers["x-max-in-flight"]) for answer in tally.answers)
    assert most == 1, f"{most} requests were in one pod at once"
    assert len(by_pod) <= MOST_PODS
