"""Names of streams, subjects and keys."""

from __future__ import annotations

from collections import Counter

import pytest

from torpor.triggers.broker import names


def test_subjects_are_those_of_the_record() -> None:
    assert names.inbox_subject("shop", "orders", 3) == "torpor.inbox.shop.orders.3"
    assert names.inbox_filter("shop", "orders") == "torpor.inbox.shop.orders.*"
    assert names.dead_subject("shop", "orders") == "torpor.dead.shop.orders"
    assert names.bus_stream("shop", "main") == "bus_shop_main"
    assert names.bus_subject("shop", "main") == "torpor.bus.shop.main"
    assert names.queue_stream("shop", "jobs") == "queue_shop_jobs"
    assert names.queue_subject("shop", "jobs") == "torpor.queue.shop.jobs.0"
    assert names.consumer_name("shop", "orders") == "shop_orders"
    assert names.consumer_name("shop", "orders", 3) == "shop_orders_3"


@pytest.mark.parametrize(
    "name", ["", "a.b", "*", ">", "a b", "A", "a_b", "-a", "a-", "a" * 64, "a\n"]
)
def test_a_name_that_would_reach_into_anothers_subjects_is_refused(name: str) -> None:
    with pytest.raises(names.InvalidName):
        names.inbox_subject("shop", name)
    with pytest.raises(names.InvalidName):
        names.bus_stream(name, "main")


def test_a_partition_is_one_of_sixteen() -> None:
    with pytest.raises(names.InvalidName):
        names.inbox_subject("shop", "orders", 16)


def test_keys_spread_over_all_partitions_evenly_and_stay_there() -> None:
    counts = Counter(names.partition_of(f"order-{number}") for number in range(16_000))
    assert set(counts) == set(range(16))
    assert min(counts.values()) > 700
    assert names.partition_of("order-1") == 15
    assert names.partition_of(None) == 0


def test_names_are_read_back() -> None:
    assert names.owner("bus_shop_main") == ("shop", "main")
    assert names.owner("queue_shop_jobs") == ("shop", "jobs")
    assert names.owner("torpor_inbox") is None
    assert names.stream_of(names.bus_subject("shop", "main")) == names.bus_stream("shop", "main")
    assert names.stream_of(names.queue_subject("shop", "q.fifo", 7)) == "queue_shop_q+fifo"
    assert names.stream_of(names.inbox_subject("shop", "orders")) == names.INBOX_STREAM
    assert names.trigger_of("torpor.inbox.shop.orders.3") == ("shop", "orders")
    assert names.parse_trigger_key(names.trigger_key("shop", "orders")) == ("shop", "orders")


def test_a_message_id_is_of_source_id_and_scope_together() -> None:
    made = {
        names.message_id(*parts)
        for parts in [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("", "ab", "c")]
    }
    assert len(made) == 4
    assert names.message_id("a", "b", "c") == names.message_id("a", "b", "c")
