"""Tokens match only themselves, whatever a caller sends."""

from __future__ import annotations

import pytest

from torpor.resources.tokens import announce_token, internal_token, matches

KEY = b"k" * 32


def test_a_token_matches_itself() -> None:
    assert matches(internal_token(KEY), internal_token(KEY))


@pytest.mark.parametrize("given", ["", "\udcff", "é", announce_token(KEY, "uid")])
def test_anything_else_is_no_match(given: str) -> None:
    assert not matches(internal_token(KEY), given)


def test_tokens_differ_by_function_and_key() -> None:
    tokens = {announce_token(KEY, "a"), announce_token(KEY, "b"), announce_token(b"x" * 32, "a")}
    assert len(tokens) == 3
