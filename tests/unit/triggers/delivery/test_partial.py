"""Which events of a batch failed."""

from __future__ import annotations

import pytest

from torpor.triggers.delivery.partial import UnknownItem, failed_positions

IDS = ["a", "b", "c", "b"]


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'{"batchItemFailures": []}', set()),
        (b'{"batchItemFailures": null}', set()),
        (b'{"batchItemFailures": [{"itemIdentifier": "c"}]}', {2}),
        (b'{"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "b"}]}', {1, 3}),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}], "more": 1}', {0}),
        (b"", set()),
        (b"{}", set()),
        (b"ok", set()),
        (b"[1]", set()),
        (b'"batchItemFailures"', set()),
        (b'{"batchItemFailures": [', set()),
    ],
)
def test_those_that_are_named_failed(body: bytes, failed: set[int]) -> None:
    assert failed_positions(body, IDS) == failed


@pytest.mark.parametrize(
    "body",
    [
        b'{"batchItemFailures": [{"itemIdentifier": "z"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "z"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{}]}',
        b'{"batchItemFailures": ["a"]}',
        b'{"batchItemFailures": "a"}',
    ],
)
def test_what_was_not_sent_makes_the_answer_worthless(body: bytes) -> None:
    with pytest.raises(UnknownItem, match=r"the answer|batchItemFailures"):
        failed_positions(body, IDS)
