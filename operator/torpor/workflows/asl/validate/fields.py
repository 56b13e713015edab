"""The table of the language: which fields machines and states of each type have (ASL, "States")."""

from __future__ import annotations

from functools import partial

from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.validate import choosing, expressions, mapping, recovering, values
from torpor.workflows.asl.validate.findings import Spot
from torpor.workflows.asl.validate.shape import (
    Field,
    Shape,
    array_of,
    both,
    in_jsonata,
    in_path,
)

_LANGUAGES = tuple(QueryLanguage)


def _states(value: Json, spot: Spot) -> None:
    values.mapping(value, spot)
    # A name that stands twice here is a state's, and reported with the other doubled names.
    for name, inner in value.items() if isinstance(value, dict) else ():
        check_state(inner, spot.field(name))


# The states of a nested machine start from the language of the whole definition, not from the
# language of the Map or Parallel around them.
def _processor(value: Json, spot: Spot) -> None:
    _PROCESSOR(value, spot.within(spot.machine_language))


def _branch(value: Json, spot: Spot) -> None:
    _BRANCH(value, spot.within(spot.machine_language))


_MACHINE = {
    "Comment": both(values.text),
    "StartAt": both(values.text),
    "States": both(_states),
}
_REQUIRED = ("States", "StartAt")
_BRANCH = Shape(_MACHINE, required=_REQUIRED)
_PROCESSOR = Shape(
    {**_MACHINE, "ProcessorConfig": both(mapping.processor_config)}, required=_REQUIRED
)
machine = Shape(
    {
        **_MACHINE,
        "Version": both(values.text),
        "TimeoutSeconds": both(values.integer(1, values.MAX_SECONDS)),
        "QueryLanguage": both(values.one_of(*_LANGUAGES)),
    },
    required=_REQUIRED,
)
"""A whole definition."""

_COMMON = {
    "Type": both(values.text),
    "Comment": both(values.text),
    "QueryLanguage": both(values.one_of(*_LANGUAGES)),
}
_IN_AND_OUT = {
    "InputPath": in_path(expressions.nullable(expressions.path)),
    "OutputPath": in_path(expressions.nullable(expressions.path)),
    "Output": in_jsonata(expressions.jsonata_template),
}
_with_result = partial(expressions.with_states, "result")
_ASSIGN = {"Assign": both(expressions.assign)}
_MOVING = {"Next": both(values.text), "End": both(values.boolean)}
_RESULT_PATH = {"ResultPath": in_path(expressions.nullable(expressions.result_path))}
_PARAMETERS = {"Parameters": in_path(expressions.payload_template)}
_FLOWING = {**_COMMON, **_IN_AND_OUT, **_ASSIGN, **_MOVING}
_WORKING = {
    **_FLOWING,
    "Output": in_jsonata(_with_result(expressions.jsonata_template)),
    "Assign": both(_with_result(expressions.assign)),
    **_RESULT_PATH,
    **_PARAMETERS,
    "ResultSelector": in_path(expressions.payload_template),
    "Retry": both(recovering.retry),
    "Catch": both(recovering.catch),
}


def _numbered(name: str, least: int, most: int) -> dict[str, Field]:
    """A field with a whole number and its variant that reads the number by a path."""
    return {
        name: both(expressions.computed(values.integer(least, most))),
        f"{name}Path": in_path(expressions.reference_path),
    }


_SHAPES = {
    "Pass": Shape(
        {
            **_FLOWING,
            **_RESULT_PATH,
            **_PARAMETERS,
            "Result": in_path(values.anything),
            # A Pass has no result of its own; whether AWS minds a reference to it is not known.
            "Output": in_jsonata(_with_result(expressions.jsonata_template)),
            "Assign": both(_with_result(expressions.assign)),
        }
    ),
    "Task": Shape(
        {
            **_WORKING,
            **_numbered("TimeoutSeconds", 1, values.MAX_SECONDS),
            **_numbered("HeartbeatSeconds", 1, values.MAX_SECONDS),
            "Resource": both(values.resource),
            "Arguments": in_jsonata(expressions.jsonata_template),
            "Credentials": both(expressions.template_object),
        },
        required=("Resource",),
        exclusive=(
            ("TimeoutSeconds", "TimeoutSecondsPath"),
            ("HeartbeatSeconds", "HeartbeatSecondsPath"),
        ),
    ),
    "Choice": Shape(
        {
            **_COMMON,
            **_IN_AND_OUT,
            **_ASSIGN,
            "Choices": both(choosing.choices),
            "Default": both(values.text),
        },
        required=("Choices",),
    ),
    "Wait": Shape(
        {
            **_FLOWING,
            **_numbered("Seconds", 0, values.MAX_SECONDS),
            "Timestamp": both(expressions.computed(values.timestamp)),
            "TimestampPath": in_path(expressions.reference_path),
        },
        one_of=(("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),),
    ),
    "Succeed": Shape({**_COMMON, **_IN_AND_OUT}),
    "Fail": Shape(
        {
            **_COMMON,
            "Error": both(expressions.computed(values.text)),
            "Cause": both(expressions.computed(values.text)),
            "ErrorPath": in_path(expressions.path_or_intrinsic),
            "CausePath": in_path(expressions.path_or_intrinsic),
        },
        exclusive=(("Error", "ErrorPath"), ("Cause", "CausePath")),
    ),
    "Parallel": Shape(
        {
            **_WORKING,
            "Arguments": in_jsonata(expressions.jsonata_template),
            "Branches": both(array_of(_branch)),
        },
        required=("Branches",),
    ),
    "Map": Shape(
        {
            **_WORKING,
            "ItemProcessor": both(_processor),
            "Iterator": both(_processor),
            "ItemsPath": in_path(expressions.reference_path),
            "Items": in_jsonata(expressions.jsonata_template),
            "ItemSelector": both(expressions.template),
            "ItemReader": both(mapping.item_reader),
            "ItemBatcher": both(mapping.item_batcher),
            "ResultWriter": both(mapping.result_writer),
            "Label": both(mapping.label),
            "MaxConcurrency": both(expressions.computed(values.integer(0, values.MAX_SECONDS))),
            "MaxConcurrencyPath": in_path(expressions.data_path),
            "ToleratedFailureCount": both(
                expressions.computed(values.integer(0, mapping.MAX_ITEMS))
            ),
            "ToleratedFailureCountPath": in_path(expressions.data_path),
            "ToleratedFailurePercentage": both(expressions.computed(values.number(0.0, 100.0))),
            "ToleratedFailurePercentagePath": in_path(expressions.data_path),
        },
        exclusive=(
            ("MaxConcurrency", "MaxConcurrencyPath"),
            ("ToleratedFailureCount", "ToleratedFailureCountPath"),
            ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
            ("ItemSelector", "Parameters"),
        ),
        one_of=(("ItemProcessor", "Iterator"),),
    ),
}


def check_state(value: Json, spot: Spot) -> None:
    """Check one state: its type, its query language, then the fields that the two allow."""
    values.mapping(value, spot)
    if not isinstance(value, dict):
        return
    kind = value.get("Type")
    if kind is None:
        spot.error("These fields are required: [Type]")
        return
    if not isinstance(kind, str) or kind not in _SHAPES:
        spot.field("Type").error(f"Value is not one of: [{', '.join(_SHAPES)}]")
        return
    local = spot.within(_language(value, spot))
    _SHAPES[kind](value, local)
    if kind == "Task":
        _check_heartbeat(value, local)
    if kind == "Map":
        mapping.check_mode(value, local)
    if "Next" in _SHAPES[kind].fields:
        _check_exit(value, local)


def _check_heartbeat(state: dict[str, Json], spot: Spot) -> None:
    """A missed heartbeat has to show before the time-out (ASL, "Task State")."""
    heartbeat, timeout = state.get("HeartbeatSeconds"), state.get("TimeoutSeconds")
    if type(heartbeat) is int and type(timeout) is int and heartbeat >= timeout:
        spot.field("HeartbeatSeconds").error("HeartbeatSeconds must be smaller than TimeoutSeconds")


def _language(state: dict[str, Json], spot: Spot) -> QueryLanguage:
    if "QueryLanguage" not in state:
        return spot.machine_language
    written = language_of(state)
    if written is QueryLanguage.JSONPATH and spot.machine_language is QueryLanguage.JSONATA:
        spot.error(
            "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
        )
    return written


def language_of(value: dict[str, Json]) -> QueryLanguage:
    """The language that an object's QueryLanguage names; AWS reads any unknown one as JSONata."""
    written = value.get("QueryLanguage", QueryLanguage.JSONPATH)
    return QueryLanguage.JSONPATH if written == QueryLanguage.JSONPATH else QueryLanguage.JSONATA


def _check_exit(state: dict[str, Json], spot: Spot) -> None:
    ends = state.get("End") is True
    if not ends and "Next" not in state:
        spot.error("These fields are required: [Next]")
    elif ends and "Next" in state:
        spot.error("There should only be one of the following fields: [Next, End]")
