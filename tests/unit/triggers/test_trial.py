"""What a Trigger would do with an event, and what is wrong with Triggers before and after."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.admission import TriggerInvalid, admit
from torpor.triggers.audit import audit
from torpor.triggers.definitions import Definition
from torpor.triggers.trial import attempt, event_of

BUS = {"bus": {"name": "b"}}
FUNCTION = {"function": {"name": "f"}}
DAY = 86_400.0


def obj(name: str = "t", **spec: Any) -> dict[str, Any]:
    whole = {"source": BUS, "target": FUNCTION, **spec}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": whole}


def trigger(name: str = "t", **spec: Any) -> Trigger:
    return Trigger.parse(obj(name, **spec))


def definition(name: str = "t", exists: bool = True, since: float = 0.0, **spec: Any) -> Definition:
    facts = {"exists": exists}
    return Definition(trigger(name, **spec), facts, since, 0, 1, MappingProxyType({}))


def test_what_is_no_cloudevent_is_the_data_of_one() -> None:
    assert event_of({"n": 1}).data == {"n": 1}
    assert event_of({"specversion": "1.0", "id": "7", "source": "/", "type": "t"}).id == "7"


def test_a_function_is_sent_the_data_with_the_attributes_beside() -> None:
    trial = attempt(trigger(ordering={"key": "data.n"}), event_of({"n": 1}))
    assert (trial.matches, trial.target, trial.sent) == (True, "function/f", {"n": 1})
    assert trial.headers is not None
    assert trial.headers["ce-type"] == "dev.torpor.test"
    assert trial.partition is not None


def test_others_are_sent_the_event() -> None:
    trial = attempt(trigger(target={"workflow": {"name": "w"}}), event_of({"n": 1}))
    assert trial.sent["data"] == {"n": 1}
    assert trial.headers is None


def test_a_transform_that_fails_is_told() -> None:
    trial = attempt(trigger(transform={"jsonata": "$error('no')"}), event_of(1))
    assert trial.matches
    assert "no" in trial.error
    assert "error" in trial.to_json()


def test_all_problems_of_a_trigger_are_told_at_once() -> None:
    bad = obj(filter={"cesql": "type ="}, transform={"jsonata": "("}, dedupe={"key": "a b"})
    with pytest.raises(TriggerInvalid) as refused:
        admit(FunctionKey("shop", "other"), bad, {}, None)  # type: ignore[arg-type]
    text = str(refused.value)
    assert [
        w for w in ("not shop/other", "spec.transform.jsonata", "spec.dedupe.key") if w not in text
    ] == []


def test_an_audit_tells_quiet_lost_suspended_and_doubled_triggers() -> None:
    found = audit(
        [
            definition("quiet", target={"queue": {"name": "q"}}),
            definition("lost", exists=False, since=40 * DAY, source={"queue": {"name": "q"}}),
            definition("idle", suspend=True, source={"queue": {"name": "r"}}),
            definition("wide", since=40 * DAY),
            definition("narrow", since=40 * DAY, filter={"pattern": {"type": ["t"]}}),
        ],
        {FunctionKey("shop", "quiet"): 5 * DAY},
        now=41 * DAY,
        days=30,
    )
    assert [(each.trigger.name, each.finding) for each in found] == [
        ("idle", "suspended"),
        ("lost", "target-missing"),
        ("narrow", "overlap"),
        ("quiet", "quiet"),
    ]
    assert found[3].detail == "36 days since its last event"
