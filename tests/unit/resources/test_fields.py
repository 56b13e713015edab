"""Untyped JSON is read with the place of what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


BODY: dict[str, Any] = {
    "text": "t",
    "empty": "",
    "yes": True,
    "one": 1,
    "half": 0.5,
    "list": [1, "x"],
    "object": {"a": 1},
    "null": None,
}
FIELDS = Fields(BODY, "spec")


def test_what_is_absent_or_null_has_its_default() -> None:
    for name in ("null", "absent"):
        assert not FIELDS.has(name)
        assert FIELDS.text(name, "d") == "d"
        assert FIELDS.optional_text(name) is None
        assert FIELDS.integer(name, 7) == 7
        assert FIELDS.optional_integer(name) is None
        assert FIELDS.number(name, 0.25, low=0, high=1) == 0.25
        assert FIELDS.boolean(name, default=True) is True
        assert FIELDS.choice(name, Colour, Colour.BLUE) is Colour.BLUE
        assert (FIELDS.texts(name), FIELDS.mapping(name), FIELDS.objects(name)) == ((), {}, ())


@pytest.mark.parametrize(
    ("read", "place", "problem"),
    [
        (lambda f: Fields([], "spec.x"), "spec.x", "must be an object, not list"),
        (lambda f: f.text("one", ""), "spec.one", "must be a string, not int"),
        (lambda f: f.required_text("empty"), "spec.empty", "is required"),
        (lambda f: f.required_text("absent"), "spec.absent", "is required"),
        (lambda f: f.boolean("one", default=False), "spec.one", "must be true or false, not int"),
        (lambda f: f.integer("half", 0), "spec.half", "must be an integer, not float"),
        (lambda f: f.integer("yes", 0), "spec.yes", "must be an integer, not a boolean"),
        (lambda f: f.integer("one", 0, low=2), "spec.one", "must be at least 2, is 1"),
        (lambda f: f.optional_integer("one", high=0), "spec.one", "must be at most 0, is 1"),
        (lambda f: f.number("yes", 0, low=0, high=1), "spec.yes", "must be a number"),
        (lambda f: f.number("text", 0, low=0, high=1), "spec.text", "must be a number"),
        (lambda f: f.number("half", 0, low=1, high=2), "spec.half", "must be from 1 to 2, is 0.5"),
        (lambda f: f.integers("list", low=1, high=2), "spec.list[1]", "an integer from 1 to 2"),
        (lambda f: f.texts("list"), "spec.list[0]", "must be a string"),
        (lambda f: f.children("list"), "spec.list[0]", "must be an object, not int"),
        (lambda f: f.texts("text"), "spec.text", "must be a list, not str"),
        (
            lambda f: f.choice("text", Colour, Colour.RED),
            "spec.text",
            "must be one of red, blue; is 't'",
        ),
        (
            lambda f: f.child("object").text("a", ""),
            "spec.object.a",
            "must be a string, not int",
        ),
    ],
)
def test_a_refusal_names_the_place_and_what_belongs_there(
    read: Callable[[Fields], object], place: str, problem: str
) -> None:
    with pytest.raises(InvalidResource, match=problem.replace(".", r"\.")) as refused:
        read(FIELDS)
    assert refused.value.path == place
