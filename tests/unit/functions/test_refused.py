"""Children that the API server refuses: told at once, asked for ever more seldom, mended alone."""

from __future__ import annotations

import pytest

from tests.unit.functions.builders import IMAGE, KEY, function_object
from tests.unit.functions.small_cluster import SmallCluster
from torpor.errors import ApiConflict, ApiError, ApiNotFound, ApiUnavailable
from torpor.functions.children import MESSAGE_CHARACTERS
from torpor.functions.reconcile import FunctionReconciler
from torpor.functions.refused import BACKOFF
from torpor.gateway.terms import Terms
from torpor.resources.conditions import find
from torpor.resources.function import Function

SAID = 'Deployment.apps "thumbnail" is invalid: spec.template: must be less than or equal to 64Mi'
INVALID = ApiError(422, "Invalid", SAID)
KINDS = ("NetworkPolicy", "Service", "Deployment")
OTHER_SPEC = {**IMAGE, "timeoutSeconds": 60}


async def refusing(error: ApiError = INVALID, child: str = "Deployment") -> SmallCluster:
    """Return a cluster that refused a child of a new Function, and shows what was told."""
    cluster = SmallCluster()
    cluster.put(function_object())
    await visit(cluster, cluster.reconciler(), error, child)
    return cluster


async def visit(
    cluster: SmallCluster,
    reconciler: FunctionReconciler,
    error: ApiError = INVALID,
    child: str = "Deployment",
) -> float | None:
    """Reconcile once, and let the write of `child` fail if it comes to it."""
    missing = [kind for kind in KINDS if (kind, KEY.name) not in cluster.objects]
    before = missing.index(child) if child in missing else 0
    cluster.failures.extend([*[None] * before, error])
    again = await reconciler.reconcile(KEY)
    cluster.failures.clear()
    cluster.show()
    return again


@pytest.mark.parametrize("child", KINDS)
@pytest.mark.parametrize("status", [400, 403, 413, 422])
async def test_what_the_api_server_refuses_is_told_in_its_words(status: int, child: str) -> None:
    cluster = await refusing(ApiError(status, "Whatever", SAID), child)
    assert cluster.ready() == ("False", "Refused")
    stalled = find(cluster.status()["conditions"], "Stalled")
    assert stalled is not None
    assert stalled["status"] == "True"
    assert stalled["message"] == f"the API server refuses its {child}: {SAID}"
    assert cluster.events == [("Warning", "Refused")]


async def test_an_apply_that_fits_no_schema_is_refused_for_good_though_its_status_is_500() -> None:
    said = (
        "failed to create typed patch object (shop/thumbnail; apps/v1, Kind=Deployment): "
        '.spec.template.spec.containers[name="function"].volumeMounts: duplicate entries'
    )
    cluster = await refusing(ApiUnavailable(500, "Unknown", said))
    assert cluster.ready() == ("False", "Refused")
    assert said in cluster.status()["conditions"][0]["message"]


async def test_words_of_many_lines_are_one_sentence_of_bounded_length() -> None:
    cluster = await refusing(ApiError(403, "Forbidden", "denied:\n  no\tlabel " + "x" * 9000))
    message = cluster.status()["conditions"][0]["message"]
    assert "denied: no label x" in message
    assert len(message) < MESSAGE_CHARACTERS + 50


async def test_a_good_function_made_bad_is_told_of_its_new_generation_and_refuses_calls() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    cluster.put({**cluster.objects["Function", KEY.name], **bad(generation=2)})
    await visit(cluster, reconciler)
    assert cluster.ready() == ("False", "Refused")
    assert cluster.status()["observedGeneration"] == 2
    assert cluster.events == [("Warning", "Refused")]
    blocked = Terms.of(Function.parse(cluster.objects["Function", KEY.name])).blocked
    assert blocked is not None
    assert SAID in blocked.message


def bad(*, generation: int) -> dict[str, object]:
    made = function_object(OTHER_SPEC, generation=generation)
    return {name: made[name] for name in ("spec", "metadata")}


async def test_it_is_asked_again_ever_more_seldom_and_told_once() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    waits = []
    for _ in range(12):
        again = await visit(cluster, reconciler)
        assert again is not None
        waits.append(again)
        cluster.seconds += again
    assert waits[0] <= BACKOFF.first_seconds
    assert BACKOFF.most_seconds / 2 <= waits[-1] <= BACKOFF.most_seconds
    assert cluster.writes.count(("Deployment", "controller")) == 12
    assert cluster.writes.count(("Function", "status")) == 1
    assert cluster.events == [("Warning", "Refused")]


async def test_words_that_differ_each_time_make_no_storm_of_writes() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    for number in range(50):  # each status written has the Function looked at again
        await visit(cluster, reconciler, ApiError(403, "Forbidden", f"denied, request {number}"))
    assert cluster.writes.count(("Deployment", "controller")) == 1
    assert cluster.writes.count(("Function", "status")) == 1


async def test_another_spec_is_tried_at_once() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    await visit(cluster, reconciler)
    cluster.put({**cluster.objects["Function", KEY.name], **bad(generation=2)})
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("True", "AtZero")
    assert cluster.events[-1] == ("Normal", "Ready")


async def test_it_heals_when_what_was_in_its_way_is_gone() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    again = await visit(cluster, reconciler)
    assert again is not None
    cluster.seconds += again
    await reconciler.reconcile(KEY)
    assert cluster.ready() == ("True", "AtZero")
    stalled = find(cluster.status()["conditions"], "Stalled")
    assert stalled is not None
    assert stalled["status"] == "False"


@pytest.mark.parametrize(
    "error",
    [
        ApiUnavailable(429, "TooManyRequests", "later"),
        ApiUnavailable(500, "InternalError", "a webhook is away"),
        ApiUnavailable(0, "Timeout", "no answer"),
        ApiNotFound(404, "NotFound", "no such namespace"),
        ApiError(401, "Unauthorized", "the token is old"),
    ],
)
async def test_what_may_pass_is_tried_again_and_not_told(error: ApiError) -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    cluster.failures.append(error)
    with pytest.raises(type(error)):
        await cluster.reconciler().reconcile(KEY)
    assert ("Function", "status") not in cluster.writes
    assert cluster.events == []


async def test_a_conflict_of_a_change_is_tried_again_and_not_told() -> None:
    cluster = SmallCluster()
    cluster.put(function_object())
    reconciler = cluster.reconciler()
    await reconciler.reconcile(KEY)
    cluster.put({**cluster.objects["Function", KEY.name], **bad(generation=2)})
    cluster.failures.extend([None, ApiConflict(409, "Conflict", "changed meanwhile")])
    with pytest.raises(ApiConflict):
        await reconciler.reconcile(KEY)
    assert cluster.ready() == ("True", "AtZero")
