"""Which Trigger takes a request: the table's answers are those of the rules in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torpor.gateway.http_table import Destination, HttpTable, NotAllowed
from torpor.resources.http_route import METHODS, Claims, claim_of

HOSTS = ("a.example", "b.example")
PARTS = ("", "a", "b", "ab", "%61")

paths = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map(lambda it: "/" + "/".join(it))
sources = st.fixed_dictionaries(
    {"path": paths, "pathType": st.sampled_from(["Prefix", "Exact"])},
    optional={
        "host": st.sampled_from(HOSTS),
        "methods": st.lists(st.sampled_from(METHODS), min_size=1, max_size=3, unique=True),
    },
)


def trigger(number: int, source: dict[str, Any]) -> dict[str, Any]:
    """A Trigger older than those of a greater number, to a Function of its own."""
    name = f"t{number:02}"
    created = f"2026-01-01T00:00:{number:02}Z"
    return {
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created},
        "spec": {"source": {"http": source}, "target": {"function": {"name": name}}},
    }


def ranks(source: dict[str, Any], method: str, host: str, path: str) -> Iterator[tuple[int, ...]]:
    """Yield how well a source fits a request: nothing where it does not."""
    if method not in source.get("methods", METHODS) or source.get("host", host) != host:
        return
    exact = source["pathType"] == "Exact"
    own = source["path"] if exact else source["path"].rstrip("/")
    if path == own or (not exact and path.startswith(f"{own}/")):
        yield ("host" in source, exact, len(own))


@given(
    st.lists(sources, max_size=8),
    st.sampled_from(METHODS),
    st.sampled_from(HOSTS),
    paths,
)
def test_a_request_goes_to_the_host_then_the_exact_path_then_the_longest_prefix(
    given_sources: list[dict[str, Any]], method: str, host: str, path: str
) -> None:
    claims = Claims(
        claim
        for number, source in enumerate(given_sources)
        if (claim := claim_of(trigger(number, source)))
    )
    names = {route.trigger.name for route in claims.routes()}
    served = {f"t{n:02}": source for n, source in enumerate(given_sources) if f"t{n:02}" in names}

    def best(asked: str) -> str | None:
        fits = [
            (rank, name) for name, it in served.items() for rank in ranks(it, asked, host, path)
        ]
        assert len({rank for rank, _ in fits}) == len(fits), "two have the same address"
        return max(fits)[1] if fits else None

    found = HttpTable.of(claims.routes(), events=False).find(method, host, path)
    if isinstance(found, Destination):
        assert found.function is not None
        assert found.function.name == best(method)
        return
    assert best(method) is None
    allow = ",".join(each for each in METHODS if best(each))
    assert found == (NotAllowed(allow) if allow else None)
