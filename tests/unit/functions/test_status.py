"""What is told of a Function."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.functions.builders import IMAGE, function
from torpor.functions.cold_starts import ColdStarts
from torpor.functions.decisions import Rescaled
from torpor.functions.lateness import Unstarted
from torpor.functions.status import Observed, Seen, status
from torpor.resources.conditions import Problem, find

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ASLEEP = Observed()
QUIET = Seen()
WAKING = Observed(desired=1)
SERVING = Observed(desired=1, ready=1)
CRASHING = Problem("CrashLoopBackOff", "the container ends at once", final=True)


def told(
    observed: Observed,
    before: dict[str, Any] | None = None,
    *,
    seen: Seen = QUIET,
    now: datetime = NOW,
    generation: int = 1,
) -> dict[str, Any]:
    return status(
        function(generation=generation, **(before or {})), observed, seen, "example.com", now
    )


def condition(found: dict[str, Any], kind: str) -> tuple[str, str]:
    item = find(found["conditions"], kind)
    assert item is not None
    return item["status"], item["reason"]


@pytest.mark.parametrize(
    ("observed", "ready", "active", "stalled"),
    [
        (ASLEEP, ("True", "AtZero"), ("False", "AtZero"), "False"),
        (WAKING, ("True", "Waking"), ("True", "Waking"), "False"),
        (SERVING, ("True", "Serving"), ("True", "Serving"), "False"),
        (Observed(exists=False), ("Unknown", "Pending"), ("False", "AtZero"), "False"),
        (
            Observed(desired=1, starting=1, trouble=CRASHING),
            ("False", "CrashLoopBackOff"),
            ("True", "Waking"),
            "True",
        ),
        (
            Observed(desired=1, starting=1, trouble=Problem("Unschedulable", "no room", False)),
            ("False", "Unschedulable"),
            ("True", "Waking"),
            "False",
        ),
        (
            Observed(desired=2, ready=1, starting=1, trouble=CRASHING),
            ("True", "Serving"),
            ("True", "Serving"),
            "True",
        ),
        (
            Observed(exists=False, blocked=Problem("NotOwned", "in the way", True)),
            ("False", "NotOwned"),
            ("False", "AtZero"),
            "True",
        ),
    ],
)
def test_conditions(
    observed: Observed, ready: tuple[str, str], active: tuple[str, str], stalled: str
) -> None:
    found = told(observed)
    assert condition(found, "Ready") == ready
    assert condition(found, "Active") == active
    assert condition(found, "Stalled")[0] == stalled


def test_all_conditions_are_there_from_the_first_visit() -> None:
    kinds = [item["type"] for item in told(Observed(exists=False))["conditions"]]
    assert kinds == ["Ready", "Active", "Reconciling", "Stalled"]


@pytest.mark.parametrize("observed", [ASLEEP, WAKING, SERVING])
def test_nothing_new_is_told_as_the_very_same(observed: Observed) -> None:
    first = told(observed)
    assert told(observed, first, now=NOW + timedelta(seconds=59)) == first


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = told(WAKING)
    second = told(SERVING, first, now=LATER)
    ready, active = find(second["conditions"], "Ready"), find(second["conditions"], "Active")
    assert ready is not None
    assert active is not None
    assert ready["reason"] == "Serving"
    assert ready["lastTransitionTime"] == "2026-11-21T12:00:00Z"
    third = told(ASLEEP, second, now=LATER)
    asleep = find(third["conditions"], "Active")
    assert asleep is not None
    assert asleep["lastTransitionTime"] == "2026-11-21T12:05:00Z"


def rescaled(minute: int, before: int, after: int, reason: str = "load") -> Rescaled:
    return Rescaled((NOW + timedelta(minutes=minute)).timestamp(), before, after, reason)


def test_the_last_decisions_are_told_with_their_times() -> None:
    seen = Seen(changes=[rescaled(0, 0, 2, "in flight 60"), rescaled(1, 2, 0, "idle 31 s")])
    assert told(SERVING, seen=seen)["decisions"] == [
        {"time": "2026-11-21T12:00:00Z", "from": 0, "to": 2, "reason": "in flight 60"},
        {"time": "2026-11-21T12:01:00Z", "from": 2, "to": 0, "reason": "idle 31 s"},
    ]
    assert "decisions" not in told(SERVING)


def test_a_decision_alone_is_no_reason_to_write_the_status() -> None:
    first = told(SERVING, seen=Seen(changes=[rescaled(0, 0, 1)]))
    more = Seen(changes=[rescaled(0, 0, 1), rescaled(1, 1, 2)])
    assert told(SERVING, first, seen=more) == first
    written = told(replace(SERVING, desired=2), first, seen=more)
    assert [item["to"] for item in written["decisions"]] == [1, 2]


def test_another_leader_adds_to_what_was_told_and_the_oldest_go() -> None:
    first = told(SERVING, seen=Seen(changes=[rescaled(n, n, n + 1) for n in range(4)]))
    after = Seen(changes=[rescaled(n, n, n + 1) for n in (3, 4, 5)])
    second = told(replace(SERVING, desired=6), first, seen=after)
    assert [item["to"] for item in second["decisions"]] == [2, 3, 4, 5, 6]
    third = told(ASLEEP, second)
    assert third["decisions"] == second["decisions"]


def test_a_reason_that_quotes_at_length_is_cut() -> None:
    found = told(SERVING, seen=Seen(changes=[rescaled(0, 0, 1, "x" * 5000)]))
    assert len(found["decisions"][0]["reason"]) == 256


def test_the_last_active_time_is_exact_when_it_falls_asleep_and_coarse_before() -> None:
    serving = told(SERVING)
    soon = told(SERVING, serving, now=NOW + timedelta(seconds=59))
    assert soon["lastActiveTime"] == serving["lastActiveTime"]
    later = told(SERVING, serving, now=NOW + timedelta(seconds=60))
    assert later["lastActiveTime"] == "2026-11-21T12:01:00Z"
    asleep = told(ASLEEP, later, now=LATER)
    assert asleep["lastActiveTime"] == "2026-11-21T12:05:00Z"
    assert told(ASLEEP, asleep, now=LATER + timedelta(days=1)) == asleep
    assert "lastActiveTime" not in told(ASLEEP)


def test_what_instances_failed_with_is_remembered_at_zero() -> None:
    failed = told(Observed(desired=1, starting=1, trouble=CRASHING))
    asleep = told(ASLEEP, failed, now=LATER)
    assert condition(asleep, "Ready") == ("False", "CrashLoopBackOff")
    assert condition(asleep, "Stalled") == ("True", "CrashLoopBackOff")


def test_another_generation_or_an_instance_that_serves_ends_the_memory() -> None:
    failed = told(Observed(desired=1, starting=1, trouble=CRASHING))
    assert condition(told(ASLEEP, failed, generation=2), "Ready") == ("True", "AtZero")
    assert condition(told(SERVING, failed), "Ready") == ("True", "Serving")


ENDED = Problem("Error", "exit code 1", final=False)
TRYING = Observed(desired=1, starting=1)


@pytest.mark.parametrize("between", [None, ENDED])
def test_a_lasting_trouble_stays_while_the_next_attempt_runs(between: Problem | None) -> None:
    failed = told(Observed(desired=1, starting=1, trouble=CRASHING))
    assert told(replace(TRYING, trouble=between), failed, now=LATER) == failed


def test_a_trouble_that_passes_ends_when_the_instance_starts() -> None:
    waited = told(replace(TRYING, trouble=Problem("Unschedulable", "no room", final=False)))
    assert condition(told(TRYING, waited), "Ready") == ("True", "Waking")


def test_another_trouble_takes_the_place_of_a_lasting_one() -> None:
    failed = told(replace(TRYING, trouble=CRASHING))
    unschedulable = Problem("Unschedulable", "no room", final=False)
    found = told(replace(TRYING, trouble=unschedulable), failed)
    assert condition(found, "Ready") == ("False", "Unschedulable")
    assert condition(found, "Stalled")[0] == "False"


def test_another_way_to_crash_is_told() -> None:
    failed = told(replace(TRYING, trouble=CRASHING))
    other = replace(CRASHING, message="exit code 3")
    ready = find(told(replace(TRYING, trouble=other), failed)["conditions"], "Ready")
    assert ready is not None
    assert ready["message"] == "exit code 3"


LATE = Seen("minReplicas 1", late=True)


def test_instances_that_are_never_ready_are_told_and_remembered_until_one_serves() -> None:
    first = told(TRYING)
    assert condition(first, "Ready") == ("True", "Waking")
    late = told(TRYING, first, seen=LATE)
    assert condition(late, "Ready") == ("False", "NotReady")
    assert condition(late, "Stalled")[0] == "False"
    ready = find(late["conditions"], "Ready")
    assert ready is not None
    assert "within 60 s" in ready["message"]
    assert "port 8080" in ready["message"]
    asleep = told(ASLEEP, late)
    assert condition(asleep, "Ready") == ("False", "NotReady")
    assert condition(told(TRYING, asleep), "Ready") == ("False", "NotReady")
    assert condition(told(SERVING, asleep), "Ready") == ("True", "Serving")
    assert condition(told(TRYING, asleep, generation=2), "Ready") == ("True", "Waking")


UNSTARTED = replace(TRYING, unstarted=Unstarted())


def test_what_was_never_started_is_told_until_it_starts_and_then_as_it_is() -> None:
    stuck = told(UNSTARTED, seen=LATE)
    assert condition(stuck, "Ready") == ("False", "NotStarted")
    assert condition(told(ASLEEP, stuck), "Ready") == ("False", "NotStarted")
    asked = Observed(desired=1)
    assert condition(told(asked, stuck, seen=LATE), "Ready") == ("False", "NotStarted")
    assert condition(told(TRYING, stuck, seen=LATE), "Ready") == ("False", "NotReady")
    assert condition(told(SERVING, stuck), "Ready") == ("True", "Serving")


def test_what_the_pods_complain_of_comes_before_their_being_late() -> None:
    found = told(replace(TRYING, trouble=CRASHING), seen=LATE)
    assert condition(found, "Ready") == ("False", "CrashLoopBackOff")
    assert condition(told(TRYING, found, seen=LATE), "Ready") == ("False", "CrashLoopBackOff")


FORBIDDEN = Problem("FailedCreate", "exceeded quota: small", final=True)


def test_pods_that_cannot_be_made_are_told_until_there_is_one() -> None:
    failed = told(Observed(desired=1, trouble=FORBIDDEN), seen=LATE)
    assert condition(failed, "Ready") == ("False", "FailedCreate")
    assert condition(failed, "Stalled") == ("True", "FailedCreate")
    asleep = told(ASLEEP, failed)
    assert condition(asleep, "Ready") == ("False", "FailedCreate")
    assert condition(told(TRYING, asleep), "Ready") == ("True", "Waking")
    assert condition(told(TRYING, asleep, seen=LATE), "Ready") == ("False", "NotReady")


def test_what_we_were_blocked_by_is_not_remembered() -> None:
    blocked = told(Observed(blocked=Problem("ConfigMapMissing", "none", True)))
    assert condition(told(ASLEEP, blocked), "Ready") == ("True", "AtZero")


def test_cold_starts_are_whole_milliseconds_and_outlive_the_one_who_counted() -> None:
    seen = Seen("3 in flight", ColdStarts(2, {"total": 612.4}, {"total": 600.0}, {"total": 700.2}))
    found = told(SERVING, seen=seen)
    assert found["coldStart"] == {
        "samples": 2,
        "last": {"total": 612},
        "p50": {"total": 600},
        "p95": {"total": 700},
    }
    again = told(SERVING, found)
    assert (again["coldStart"], again["reason"]) == (found["coldStart"], "3 in flight")


def test_what_never_was_is_absent_rather_than_null() -> None:
    assert set(told(ASLEEP)) == {
        "observedGeneration",
        "url",
        "selector",
        "replicas",
        "conditions",
    }
    assert told(ASLEEP)["url"] == "http://thumbnail.shop.example.com"


def test_a_roll_out_is_reconciling() -> None:
    rolling = told(Observed(desired=1, ready=1, rolling=True))
    assert condition(rolling, "Reconciling") == ("True", "RollingOut")


def test_a_window_that_never_opens_hides_no_trouble_and_is_not_kept_as_one() -> None:
    windows = [{"schedule": "0 8 * * *", "timeZone": "Mars/Phobos"}]
    spec = {**IMAGE, "scaling": {"provisioned": windows}}

    def say(observed: Observed, before: dict[str, Any]) -> dict[str, Any]:
        return status(function(spec, **before), observed, QUIET, "example.com", NOW)

    first = say(ASLEEP, {})
    assert condition(first, "Stalled") == ("True", "InvalidWindow")
    second = say(WAKING, first)
    assert condition(second, "Ready") == ("True", "Waking")
    crashing = say(replace(WAKING, starting=1, trouble=CRASHING), second)
    assert condition(crashing, "Stalled") == ("True", "CrashLoopBackOff")
    assert condition(say(SERVING, crashing), "Stalled") == ("True", "InvalidWindow")
