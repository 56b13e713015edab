"""What the caller of TestState made up for the work of a state."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.aws.errors import validation
from torpor.aws.shapes import Group, OneOf, Values
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.payloads import read_payload
from torpor.workflows.stepfunctions.shapes import CAUSE, DATA, ERROR
from torpor.workflows.stepfunctions.trial import Outcome

_MOCKABLE = ("Task", "Map", "Parallel")
MOCK = Group(
    {
        "result": DATA,
        "errorOutput": Group({"error": ERROR, "cause": CAUSE}),
        "fieldValidationMode": OneOf(("STRICT", "PRESENT", "NONE")),
    }
)
"""The `mock` of a request. Results are not compared with a service's, whatever the mode."""


def mocked(state: Mapping[str, Json], values: Values) -> Outcome | None:
    """The outcome that the caller made up for the state's work."""
    mock = values.get("mock")
    if mock is None:
        return None
    kind = state.get("Type")
    if kind not in _MOCKABLE:
        raise validation(f"State type '{kind}' is not supported when a mock is specified")
    result, error = mock.get("result"), mock.get("errorOutput")
    if result is not None and error is not None:
        raise validation(
            "A test mock should have only one of the following fields: [result, errorOutput]."
        )
    if values.get("revealSecrets"):
        raise validation("TestState does not support RevealSecrets when a mock is specified.")
    if error is not None:
        return Fault(error.get("error"), error.get("cause"))
    if result is None:
        raise validation(
            "A test mock must have one of the following fields: [result, errorOutput]."
        )
    payload = read_payload(result, "mock.result", None, errors.invalid_member("mock.result"))
    _check_mock(state, payload)
    return payload


def _check_mock(state: Mapping[str, Json], payload: Payload) -> None:
    """A Map's or Parallel's result is a list, unless a ResultWriter takes it."""
    if state["Type"] == "Task":
        return
    if state.get("ResultWriter"):
        if not isinstance(payload.value, dict):
            raise validation("Mocked result must be a JSON object.")
        return
    if not isinstance(payload.value, list):
        raise validation("Mocked result must be an array.")
    if state["Type"] == "Parallel" and len(payload.value) != len(state["Branches"]):
        raise validation(
            "Mocked result must contain the same number of items as number of Parallel branches."
        )
