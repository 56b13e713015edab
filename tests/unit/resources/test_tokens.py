"""Tokens match only themselves, whatever a caller sends."""

from __future__ import annotations

import pytest

from torpor.resources.names import FunctionKey
from torpor.resources.tokens import (
    announce_token,
    bearer,
    detail_token,
    instance_tokens,
    internal_token,
    matches,
)

KEY = b"k" * 32


def test_a_token_matches_itself() -> None:
    assert matches(internal_token(KEY), internal_token(KEY))


@pytest.mark.parametrize("given", ["", "\udcff", "é", announce_token(KEY, "uid")])
def test_anything_else_is_no_match(given: str) -> None:
    assert not matches(internal_token(KEY), given)


def test_tokens_differ_by_function_and_key() -> None:
    tokens = {announce_token(KEY, "a"), announce_token(KEY, "b"), announce_token(b"x" * 32, "a")}
    assert len(tokens) == 3


def test_the_tokens_of_an_instance_are_of_its_function_and_are_never_shown() -> None:
    key = FunctionKey("shop", "order")
    tokens = instance_tokens(KEY, key, "uid")
    assert tokens.announce == announce_token(KEY, "uid")
    assert (
        tokens.detail == detail_token(KEY, key) != detail_token(KEY, FunctionKey("bank", "order"))
    )
    assert tokens.detail not in repr(tokens)
    assert tokens.announce not in repr(tokens)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", "")],
)
def test_only_a_bearer_header_has_a_token(header: str, token: str) -> None:
    assert bearer(header) == token
