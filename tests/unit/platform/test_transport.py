"""Which error an answer of the API means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torpor import errors
from torpor.platform.kubernetes.transport import error_of


def answered(code: int, **more: Any) -> errors.ApiError:
    return error_of(code, json.dumps({"kind": "Status", "code": code, **more}).encode())


def test_a_namespace_that_is_being_deleted_is_told_from_a_right_that_is_missing() -> None:
    ending = {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}
    assert type(answered(403, details=ending)) is errors.ApiNamespaceEnding
    assert type(answered(403)) is errors.ApiError
    assert type(answered(403, details={"causes": None})) is errors.ApiError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (404, errors.ApiNotFound),
        (409, errors.ApiConflict),
        (410, errors.ApiGone),
        (429, errors.ApiUnavailable),
        (503, errors.ApiUnavailable),
        (422, errors.ApiError),
    ],
)
def test_a_status_has_its_error(code: int, kind: type[errors.ApiError]) -> None:
    error = answered(code, reason="Told", message="words")
    assert (type(error), error.status, error.reason) == (kind, code, "Told")
    assert "words" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"'])
def test_an_answer_that_is_no_status_object_has_an_error_too(body: bytes) -> None:
    assert error_of(500, body).reason == "Unknown"
