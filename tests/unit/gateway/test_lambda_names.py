"""Which Function a FunctionName of the Lambda API means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.aws.errors import Refused
from torpor.gateway.lambda_api.names import Place, name_of
from torpor.gateway.lambda_api.views import page
from torpor.resources.names import FunctionKey

PLACE = Place("eu-west-1", "123456789012", "tools")
LABEL = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
KEYS = st.builds(FunctionKey, LABEL, LABEL)


@given(key=KEYS, latest=st.sampled_from(["", ":$LATEST"]))
def test_what_is_written_can_be_read_back(key: FunctionKey, latest: str) -> None:
    partial = f"999999999999:function:{name_of(key)}"
    for text in (name_of(key), partial, PLACE.arn(key)):
        assert PLACE.read(text + latest, None) == key


def test_a_bare_name_is_in_the_namespace_that_is_served() -> None:
    assert PLACE.read("ls", "$LATEST") == FunctionKey("tools", "ls")
    assert PLACE.read("arn:aws:lambda:::function:ls", None) == FunctionKey("tools", "ls")


@pytest.mark.parametrize(
    "text", ["", "a/b", "a b", "a:b:c", "arn:aws:s3:::a", "arn:aws:lambda:x:1:layer:a", "a" * 171]
)
def test_what_is_no_name_is_told_what_to_write(text: str) -> None:
    with pytest.raises(Refused, match=r"write name, namespace\.name, or an ARN"):
        PLACE.read(text, None)


@pytest.mark.parametrize(("text", "qualifier"), [("ls:7", None), ("ls", "live"), ("ls:7", "7")])
def test_there_are_no_versions(text: str, qualifier: str | None) -> None:
    with pytest.raises(Refused, match="Function not found") as refused:
        PLACE.read(text, qualifier)
    assert refused.value.code == "ResourceNotFoundException"


@given(keys=st.sets(KEYS, max_size=30), most=st.integers(1, 10))
def test_pages_show_every_function_once_in_order(keys: set[FunctionKey], most: int) -> None:
    shown: list[str] = []
    marker: str | None = ""
    while marker is not None:
        items, marker = page(keys, marker, most)
        assert len(items) <= most
        shown += map(name_of, items)
    assert shown == sorted(map(name_of, keys))
