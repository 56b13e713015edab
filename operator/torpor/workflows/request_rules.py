"""What CreateStateMachine and UpdateStateMachine ask of a request besides its definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LOG_LEVELS = ("ALL", "ERROR", "FATAL", "OFF")
MAX_NAME_CHARACTERS = 80

_BAD_IN_NAME = re.compile(r"""[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff]""")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served: the API's error code and its message."""

    code: str
    message: str


def check_logging(configuration: Mapping[str, Any] | None) -> Refusal | None:
    """Whether a loggingConfiguration is refused (API reference, "LoggingConfiguration").

    At most one destination may be given, and there must be one unless the level is OFF.
    """
    if configuration is None:
        return None
    level = configuration.get("level", "OFF")
    if level not in LOG_LEVELS:
        return _invalid(level, "loggingConfiguration.level", f"enum value set: {_list(LOG_LEVELS)}")
    destinations: Sequence[Any] = configuration.get("destinations") or ()
    if len(destinations) > 1 or (level != "OFF" and not destinations):
        return Refusal(
            "InvalidLoggingConfiguration",
            "Invalid Logging Configuration: Must specify exactly one Log Destination.",
        )
    return None


def check_version_description(publish: bool | None, description: str | None) -> Refusal | None:
    """Whether a versionDescription is refused: only a version that is published has one."""
    if description is None or publish:
        return None
    message = "Version description can only be set when publish is true"
    return Refusal("ValidationException", message)


def check_name(name: str) -> Refusal | None:
    """Whether a state machine's name is refused (API reference, "CreateStateMachine")."""
    if 0 < len(name) <= MAX_NAME_CHARACTERS and not _BAD_IN_NAME.search(name):
        return None
    return Refusal("InvalidName", f"Invalid Name: '{name}'")


def _invalid(value: object, where: str, rule: str) -> Refusal:
    return Refusal(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint:"
        f" Member must satisfy {rule}",
    )


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]"
