"""The API has every call of AWS's model, with its members, constraints and events."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.aws.errors import Refused
from torpor.aws.shapes import Number, Text, check
from torpor.workflows.records import Alias
from torpor.workflows.stepfunctions.history import member_of
from torpor.workflows.stepfunctions.payloads import read_payload
from torpor.workflows.stepfunctions.server import ACTIONS

MODEL: Any = botocore.session.get_session().get_service_model("stepfunctions")
IGNORED = {"encryptionConfiguration"}
"""Activities of AWS can be encrypted with a key of one's own; see CreateStateMachine for ours."""


def test_every_call_is_there() -> None:
    assert set(ACTIONS) == set(MODEL.operation_names)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_the_members_of_a_request(name: str) -> None:
    theirs, ours = MODEL.operation_model(name).input_shape, ACTIONS[name].shape
    assert set(theirs.members) - IGNORED == set(ours.members) - IGNORED
    assert set(ours.required) == set(theirs.required_members)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_the_bounds_of_members(name: str) -> None:
    for member, theirs in MODEL.operation_model(name).input_shape.members.items():
        ours = ACTIONS[name].shape.members.get(member)
        bounds = theirs.metadata
        # Data has the configured quota. Execution ARNs may be those of children, which are longer.
        loose = bounds.get("max") == 262_144 or member == "executionArn"
        if isinstance(ours, Text) and "max" in bounds and not loose:
            assert (ours.least, ours.most) == (bounds.get("min", 0), bounds["max"]), member
        if isinstance(ours, Number) and "max" in bounds:
            assert (ours.least, ours.most) == (bounds.get("min", 0), bounds["max"]), member


@pytest.mark.parametrize("type", MODEL.shape_for("HistoryEventType").enum)
def test_the_details_of_events(type: str) -> None:
    member = member_of(type)
    assert member is None or member in MODEL.shape_for("HistoryEvent").members


@given(st.text(max_size=30))
def test_any_text_is_a_payload_or_refused(text: str) -> None:
    def refuse(reason: str) -> Refused:
        return Refused("InvalidInput", reason)

    with suppress(Refused):
        assert read_payload(text, "input", 100, refuse).text == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_request_is_taken_or_refused(value: Any) -> None:
    for action in ACTIONS.values():
        for member in action.shape.members:
            with suppress(Refused):
                check(action.shape, {member: value})


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udfff": 1}'])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_payload(text, "input", None, lambda reason: Refused("InvalidInput", reason))


@pytest.mark.parametrize(("chance", "version"), [(0.0, "1"), (0.69, "1"), (0.7, "2"), (0.99, "2")])
def test_an_alias_picks_by_weight(chance: float, version: str) -> None:
    alias = Alias("a", "a", "m", None, (("1", 70), ("2", 30)), 0.0, 0.0)
    assert alias.pick(chance) == version


def test_a_version_without_weight_is_never_picked() -> None:
    alias = Alias("a", "a", "m", None, (("1", 0), ("2", 100)), 0.0, 0.0)
    assert alias.pick(0.0) == "2"


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_text_with_a_nul_gets_to_postgresql(name: str) -> None:
    shape = ACTIONS[name].shape
    for member, ours in shape.members.items():
        if isinstance(ours, Text):
            told = "".join(ours.check("a\0", member))
            assert f"at '{member}' failed to satisfy constraint" in told
