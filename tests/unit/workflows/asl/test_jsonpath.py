"""JSONPath reads what AWS (Jayway's library) reads, and says in its words what it cannot find."""

from __future__ import annotations

import pytest

from tests.unit.workflows.asl.expressions import a_scope
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonpath import PathNotFound, compile_path, write_reference
from torpor.workflows.asl.scope import Json

STORE: Json = {
    "books": [
        {"title": "Sayings", "price": 8.95, "tags": ["a", "b"]},
        {"title": "Sword", "price": 12.99, "isbn": None},
        {"title": "Moby", "price": 8.99, "isbn": "0-553", "tags": []},
    ],
    "bicycle": {"price": 19.95, "colour": "red"},
    "limit": 10,
    "odd key": {"it's": 1},
    "numbers": [3, 1, 2],
    "nothing": None,
}


def read(path: str, data: Json = STORE, **parts: Json) -> Json:
    return compile_path(path).read(a_scope(data, **parts), data)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", STORE),
        ("$.limit", 10),
        ("$['limit']", 10),
        ('$["odd key"]["it\'s"]', 1),
        (r"$['odd key']['it\'s']", 1),
        ("$.nothing", None),
        ("$.books[1].title", "Sword"),
        ("$.books[-1].title", "Moby"),
        ("$.books[0,2].title", ["Sayings", "Moby"]),
        ("$.books[:2].title", ["Sayings", "Sword"]),
        ("$.books[-2:].title", ["Sword", "Moby"]),
        ("$.books[*].price", [8.95, 12.99, 8.99]),
        ("$.books.*.price", [8.95, 12.99, 8.99]),
        ("$.bicycle.*", [19.95, "red"]),
        ("$.bicycle['price','colour']", {"price": 19.95, "colour": "red"}),
        ("$..price", [8.95, 12.99, 8.99, 19.95]),
        ("$..books[0].title", ["Sayings"]),
        ("$.books[?(@.price < 10)].title", ["Sayings", "Moby"]),
        ("$.books[?(@.price < $.limit)].title", ["Sayings", "Moby"]),
        ("$.books[?(@.title == 'Moby')].price", [8.99]),
        ('$.books[?(@["title"] == "Moby")].price', [8.99]),
        ("$.books[?(@.isbn)].title", ["Sword", "Moby"]),
        ("$.books[?(!@.isbn)].title", ["Sayings"]),
        ("$.books[?(@.isbn == null)].title", ["Sword"]),
        ("$.books[?(@.title =~ /s.*/i)].title", ["Sayings", "Sword"]),
        ("$.books[?(@.title =~ /(([a-z])+.)+[A-Z]([a-z])+$/)].title", []),
        ("$.books[?(@.price > 8.96 && @.price < 9)].title", ["Moby"]),
        ("$.books[?(@.price > 12 || @.title == 'Moby')].title", ["Sword", "Moby"]),
        ("$.books[?(@.price > 12 && (@.isbn || @.title == 'x'))].title", ["Sword"]),
        ("$.books[?(@.title in ['Moby', 'Sword'])].title", ["Sword", "Moby"]),
        ("$.books[?(@.title nin ['Moby', 'Sword'])].title", ["Sayings"]),
        ("$.books[?(@.tags contains 'a')].title", ["Sayings"]),
        ("$.books[?(@.tags empty true)].title", ["Moby"]),
        ("$.books[?(@.tags size 2)].title", ["Sayings"]),
        ("$.books[?(@.tags.length() == 2)].title", ["Sayings"]),
        ("$.numbers[?(@ > 1)]", [3, 2]),
        ("$..[?(@.colour)].price", [19.95]),
        ("$.books[?(@.price > 100)]", []),
        ("$.books.length()", 3),
        ("$.numbers.min()", 1),
        ("$.numbers.max()", 3),
        ("$.numbers.sum()", 6),
        ("$..price.max()", 19.95),
        ("$.bicycle.keys()", ["price", "colour"]),
        ("$.numbers.first()", 3),
        ("$.numbers.last()", 2),
        ("$.numbers.index(1)", 1),
    ],
)
def test_a_path_reads_what_it_selects(path: str, expected: Json) -> None:
    assert read(path) == expected


def test_the_other_roots_are_the_context_and_the_variables() -> None:
    parts: Json = {"context": {"State": {"Name": "s"}}, "variables": {"x": {"y": [5]}}}
    assert read("$$.State.Name", **parts) == "s"
    assert read("$$", **parts) == {"State": {"Name": "s"}}
    assert read("$x.y[0]", **parts) == 5
    assert read("$x", **parts) == {"y": [5]}
    assert read("$.numbers[?(@ == $x.y[0])]", {"numbers": [4, 5]}, **parts) == [5]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.NoSuch", "No results for path: $['NoSuch']"),
        ("$.bicycle.NoSuch", "No results for path: $['bicycle']['NoSuch']"),
        ("$.a.b", "Missing property in path $['a']"),
        ("$.numbers[7]", "No results for path: $['numbers'][7]"),
        ("$.limit[0]", "Filter: [0] can only be applied to arrays. Current context is: 10"),
        ("$noSuchVariable", "No results for path: $noSuchVariable"),
        ("$$.NoSuch", "No results for path: $$['NoSuch']"),
    ],
)
def test_a_path_that_leads_nowhere_says_so_in_the_words_of_aws(path: str, reason: str) -> None:
    with pytest.raises(PathNotFound) as missing:
        read(path)
    assert str(missing.value) == reason
    assert missing.value.path == path


@pytest.mark.parametrize("path", ["$.limit.x", "$.numbers.x", "$.nothing.x", "$.bicycle.colour.x"])
def test_a_name_below_something_that_is_no_object_is_not_found(path: str) -> None:
    with pytest.raises(PathNotFound, match="Expected to find an object with property"):
        read(path)


@pytest.mark.parametrize("path", ["$.bicycle.colour[0]", "$.bicycle[0]"])
def test_an_index_into_something_that_is_no_array_is_not_found(path: str) -> None:
    with pytest.raises(PathNotFound, match="can only be applied to arrays"):
        read(path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "$.", "$..", "$.a b", "$[", "$['a", "$[?(@.x]", "$.a[?()]", "$.x.foo()", "@.x"),
        *(
            "$.a[?(@.x =~ /(/)]",
            "$.a[?(@.x =~ /(?=a)b/)]",
            "$.a[?(@.x =~ /a/x)]",
            "$.a]",
            "$.a[1",
            "$[a]",
            "$.a[?(" + "!" * 100 + "@)]",
        ),
    ],
)
def test_what_is_not_jsonpath_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match="invalid JSONPath"):
        compile_path(text)


def test_a_reference_path_has_only_names_and_indices_from_the_front() -> None:
    assert all(compile_path(text).is_reference for text in ("$", "$.a['b c'][0]", "$$.a", "$x.y"))
    assert not any(
        compile_path(text).is_reference for text in ("$.a[*]", "$..a", "$.a[-1]", "$.a[0,1]")
    )


def test_a_write_copies_only_what_it_changes() -> None:
    document: Json = {"a": {"b": 1}, "other": {"big": []}}
    written = write_reference("$.a.c.d", document, 7)
    assert written == {"a": {"b": 1, "c": {"d": 7}}, "other": {"big": []}}
    assert document == {"a": {"b": 1}, "other": {"big": []}}
    assert written["other"] is document["other"]


def test_a_write_replaces_an_existing_array_element() -> None:
    assert write_reference("$.a[1]", {"a": [1, 2, 3]}, "x") == {"a": [1, "x", 3]}


def test_a_write_to_the_root_replaces_everything() -> None:
    assert write_reference("$", {"a": 1}, 5) == 5


@pytest.mark.parametrize("path", ["$.a[*]", "$$.a", "$x.y", "$.a[-1].."])
def test_only_a_reference_path_into_the_input_can_be_written(path: str) -> None:
    with pytest.raises(ValueError, match=r"Reference Path|invalid JSONPath"):
        write_reference(path, {}, 1)


@pytest.mark.parametrize(
    ("path", "document"),
    [("$.a", "text"), ("$.a.b", {"a": 1}), ("$.a[3]", {"a": [1]}), ("$.a[0]", {}), ("$.a", [1])],
)
def test_a_write_that_cannot_be_applied_is_a_fault(path: str, document: Json) -> None:
    with pytest.raises(Fault) as failed:
        write_reference(path, document, 1)
    assert failed.value.error == "States.ResultPathMatchFailure"
    assert (failed.value.cause or "").startswith(f"Unable to apply ReferencePath {path} to input")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a[?(@.b>1)].b", [2, 3]),
        ("$.a[?(@.b==2)].b", [2]),
        ("$.a[?(@.b!=2)].b", [1, 3]),
        ("$.a[?(@.b>=2&&@.c<5)].b", [2]),
        ("$.a[?(@.b==1||@.b==3)].b", [1, 3]),
        ("$.a[?(@.t=='x')].b", [1]),
        ("$.a[?(@.t=~/x.*/)].b", [1, 2]),
        ("$.a[?(!@.c)].b", [3]),
        ("$.a[?(1<@.b)].b", [2, 3]),
        ("$.a[?(@.b>-1&&@.t.length()>1)].b", [2]),
    ],
)
def test_operators_of_a_filter_need_no_spaces(path: str, expected: Json) -> None:
    rows = [{"b": 1, "c": 9, "t": "x"}, {"b": 2, "c": 3, "t": "xy"}, {"b": 3}]
    assert read(path, {"a": rows}) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.books[0]['title','nope']", {"title": "Sayings"}),
        ("$.bicycle[?(@.price > 1)].colour", ["red"]),
        ("$.bicycle[?(@.price > 100)]", []),
        ("$.limit.*", []),
        ("$.numbers.append(4)", [3, 1, 2, 4]),
        ("$.numbers.concat('x')", "312x"),
        ("$.bicycle.colour.concat('x')", "redx"),
        ("$.books[?(@.price == '8.95')].title", ["Sayings"]),
        ("$.books[?('abc' == @.price)]", []),
        ("$.books[?(@.title contains 'b')].title", ["Moby"]),
        ("$.books[?(@.tags contains 'b')].title", ["Sayings"]),
        ("$.books[?(@.tags anyof ['a'])].title", ["Sayings"]),
        ("$.books[?(@.tags noneof ['a'])].title", ["Moby"]),
        ("$.books[?(@.price nin [8.95])].title", ["Sword", "Moby"]),
    ],
)
def test_filters_and_functions_on_values_of_other_types(path: str, expected: Json) -> None:
    assert read(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        *("$.limit['a','b']", "$.limit.length()", "$.limit.keys()", "$.limit.first()"),
        *("$.numbers.index(9)", "$.books[*].isbn.min()"),
    ],
)
def test_a_function_of_what_it_does_not_take_has_no_result(path: str) -> None:
    with pytest.raises(PathNotFound) as missing:
        read(path)
    assert str(missing.value) == f"No results for path: {path}"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.books[9]", "No results for path: $['books'][9]"),
        ("$.nothing[0]", "The path $['nothing'] is null"),
        ("$.bicycle.nope.deep", "Missing property in path $['bicycle']['nope']"),
    ],
)
def test_the_first_step_that_fails_is_named(path: str, reason: str) -> None:
    with pytest.raises(PathNotFound) as missing:
        read(path)
    assert str(missing.value) == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.numbers.append($.limit)", "only constants can be arguments"),
        ("$.books[?(@.title in [$.x])]", "an array in a filter holds constants"),
        ("$.books['a',b]", "a quoted text expected"),
    ],
)
def test_what_has_to_be_constant_is_refused_otherwise(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_path(path)
