"""From the text of a definition to its JSON value: syntax, size, depth and repeated names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NoReturn

from torpor.expressions.values import read_fraction, read_integer
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate.findings import Code, Findings

MAX_SIZE_BYTES = 1_048_576
"""The most that CreateStateMachine takes (quotas, "Maximum request size")."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")

MAX_DEPTH = 200
"""Levels of arrays and objects; the checks recurse, so a definition must not exhaust the stack."""


class Repeating(dict[str, Json]):
    """A JSON object that had some of its names more than once; the last value of each counts."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Json]], repeated: tuple[str, ...]) -> None:
        super().__init__(pairs)
        self.repeated = repeated


def read_document(text: str, findings: Findings) -> Json:
    """The JSON value of a definition's text; worth a look only when nothing was reported."""
    if not text.strip():
        findings.add(Code.MISSING_DESCRIPTION, "Definition is null or empty", "/")
        return None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SIZE_BYTES:
        message = f"Definition is longer than {MAX_SIZE_BYTES} bytes"
        findings.add(Code.INVALID_JSON, message, "/")
        return None
    value = _parse(text, findings)
    if not _is_encodable(text, value):
        findings.add(Code.INVALID_JSON, "Unpaired surrogate in a string", "/")
        return None
    if _is_deeper(value, MAX_DEPTH):
        _report_depth(findings)
    return value


def write_document(definition: Mapping[str, Json], findings: Findings) -> str:
    """The text of a definition that was given as an object; empty after reporting why not."""
    try:
        return json.dumps(definition)
    except (TypeError, ValueError) as wrong:
        findings.add(Code.INVALID_JSON, str(wrong), "/")
    except RecursionError:
        _report_depth(findings)
    return ""


def _parse(text: str, findings: Findings) -> Json:
    try:
        return json.loads(
            text,
            object_pairs_hook=_to_object,
            parse_constant=_refuse_constant,
            parse_float=read_fraction,
            parse_int=read_integer,
        )
    except json.JSONDecodeError as wrong:
        place = f"[line: {wrong.lineno}, column: {wrong.colno}]"
        findings.add(Code.INVALID_JSON, wrong.msg, place)
    except RecursionError:
        _report_depth(findings)
    except ValueError as wrong:
        findings.add(Code.INVALID_JSON, str(wrong), "/")
    return None


def repeated_names(value: Json) -> tuple[str, ...]:
    """The names that an object of the text had more than once."""
    return value.repeated if isinstance(value, Repeating) else ()


def _is_encodable(text: str, value: Json) -> bool:
    """Whether every text in it can be stored: a surrogate without its other half cannot."""
    if not _SURROGATE.search(text):
        return True
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except RecursionError:
        return True  # too deep: that is reported, too
    return True


def _to_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    counts = Counter(name for name, _ in pairs)
    return Repeating(pairs, tuple(name for name, count in counts.items() if count > 1))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _is_deeper(value: Json, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = list(chain.from_iterable(map(_parts, level)))
        if not level:
            return False
    return True


def _parts(value: Json) -> Iterator[Json]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, list) else iter(())


def _report_depth(findings: Findings) -> None:
    findings.add(Code.TOO_DEEP, f"Definition is nested deeper than {MAX_DEPTH} levels", "/")
