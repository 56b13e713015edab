"""What still goes into a store, and what archives give up for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.broker import names
from torpor.triggers.broker.room import Archive, Room, giving_way

BUS = names.bus_subject("shop", "main")
INBOX = names.inbox_subject("shop", "orders")
DEAD = names.dead_subject("shop", "orders")


@pytest.mark.parametrize(
    ("room", "refused"),
    [
        (Room(0, 10_000, 10_000), set()),
        (Room(1000, 500, 500), set()),
        (Room(1000, 600, 501), {BUS}),
        (Room(1000, 900, 100), set()),
        (Room(1000, 901, 100), {BUS, INBOX, DEAD}),
    ],
)
def test_what_was_taken_has_its_reserve(room: Room, refused: set[str]) -> None:
    assert {subject for subject in (BUS, INBOX, DEAD, "$KV.b.k") if room.refusal(subject)} == (
        refused
    )


@pytest.mark.parametrize(
    ("admitted", "taken", "moved", "outdated"),
    [
        (0, True, True, False),
        (51, True, True, True),
        (101, False, True, True),
        (126, False, False, True),
    ],
)
def test_what_was_sent_since_the_look_counts(
    admitted: int, taken: bool, moved: bool, outdated: bool
) -> None:
    room = Room(1000, 700, 0)
    assert (not room.refusal(INBOX, admitted)) is taken
    assert (not room.refusal(INBOX, admitted, room.moving_bytes)) is moved
    assert room.is_outdated(admitted) is outdated
    learned = Room(1000, 1000, 0, is_told=False)
    assert not learned.refusal(INBOX, admitted, learned.moving_bytes)


@pytest.mark.parametrize(
    ("stream", "most", "refused"),
    [
        (names.INBOX_STREAM, 500, INBOX),
        (names.DEAD_STREAM, 250, DEAD),
        (names.queue_stream("shop", "q.fifo"), 250, names.queue_subject("shop", "q.fifo", 3)),
    ],
)
def test_each_kind_has_its_share(stream: str, most: int, refused: str) -> None:
    subjects = (INBOX, DEAD, BUS, refused, names.queue_subject("shop", "other"))
    full = Room(1000, 600, 0, {stream: most + 1})
    assert {subject for subject in subjects if full.refusal(subject)} == {refused}
    assert not Room(1000, 600, 0, {stream: most}).refusal(refused)


@pytest.mark.parametrize(
    ("room", "surplus"),
    [
        (Room(0, 10_000, 10_000), 0),
        (Room(1000, 500, 500), 0),
        (Room(1000, 600, 600), 150),
        (Room(1000, 850, 100), 0),
        (Room(1000, 900, 300), 100),
        (Room(1000, 900, 40), 40),
    ],
)
def test_archives_give_up_what_is_above_their_share_or_what_the_others_need(
    room: Room, surplus: int
) -> None:
    assert room.surplus_bytes == surplus


def test_who_can_spare_most_gives_way_first_and_what_is_not_routed_stays() -> None:
    archives = [
        Archive("large", 100, 10_000, 1, 100),
        Archive("second", 50, 5_000, 101, 104),
        Archive("small", 10, 1_000, 1, 10),
    ]
    assert giving_way(archives, 5_000) == {"large": 51}
    assert giving_way(archives, 9_500) == {"large": 94, "small": 4}
    assert giving_way(archives, 99_999) == {"large": 101, "second": 105, "small": 11}


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 5_000)), min_size=1, max_size=20),
    st.floats(0.0, 1.0),
)
def test_what_is_given_up_is_enough_and_not_much_more(
    buses: list[tuple[int, int]], share: float
) -> None:
    archives = [
        Archive(f"bus_{number}", messages, messages * size, 1, messages)
        for number, (messages, size) in enumerate(buses)
    ]
    surplus = int(share * sum(archive.size_bytes for archive in archives))
    kept = giving_way(archives, surplus)
    sizes = [archive.size_bytes // archive.messages for archive in archives]
    given_up = [kept.get(archive.stream, 1) - 1 for archive in archives]
    freed = sum(count * size for count, size in zip(given_up, sizes, strict=True))
    assert all(count <= each.messages for count, each in zip(given_up, archives, strict=True))
    assert surplus - len(archives) <= freed <= surplus + sum(sizes)
