"""Task tokens: what was issued is read back, and nothing else is."""

from __future__ import annotations

import pytest

from torpor.workflows.engine.base import TaskRefused
from torpor.workflows.engine.tokens import Called, TaskRef, TaskTokens

ARN = "arn:aws:states:us-east-1:123456789012:execution:default.ask:one"
TOKENS = TaskTokens(b"k" * 32)
STARTED_AT = 1_700_000_000.25


def test_what_was_issued_is_read() -> None:
    task = TaskRef(ARN, 3, 4)
    assert TOKENS.read(TOKENS.issue(task, STARTED_AT)) == Called(task, STARTED_AT)


@pytest.mark.parametrize("length", [0, 1, 2])
@pytest.mark.parametrize("added", ["=", "====", "A", "\n"])
def test_a_token_has_one_spelling(length: int, added: str) -> None:
    token = TOKENS.issue(TaskRef(ARN + "x" * length, 3, 4), STARTED_AT)
    with pytest.raises(TaskRefused):
        TOKENS.read(token + added)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_the_bits_that_mean_nothing_are_part_of_it(length: int) -> None:
    token = TOKENS.issue(TaskRef(ARN + "x" * length, 3, 4), STARTED_AT)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in set(alphabet) - {token[-1]}:
        with pytest.raises(TaskRefused):
            TOKENS.read(token[:-1] + last)
