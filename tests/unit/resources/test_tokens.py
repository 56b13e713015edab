"""Tokens match only themselves, whatever a caller sends."""

from __future__ import annotations

import pytest

from torpor.resources.tokens import announce_token, bearer, internal_token, matches

KEY = b"k" * 32


def test_a_token_matches_itself() -> None:
    assert matches(internal_token(KEY), internal_token(KEY))


@pytest.mark.parametrize("given", ["", "\udcff", "é", announce_token(KEY, "uid")])
def test_anything_else_is_no_match(given: str) -> None:
    assert not matches(internal_token(KEY), given)


def test_tokens_differ_by_function_and_key() -> None:
    tokens = {announce_token(KEY, "a"), announce_token(KEY, "b"), announce_token(b"x" * 32, "a")}
    assert len(tokens) == 3


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", "")],
)
def test_only_a_bearer_header_has_a_token(header: str, token: str) -> None:
    assert bearer(header) == token
