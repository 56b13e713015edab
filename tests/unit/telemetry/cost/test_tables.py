"""Price tables: those that come along, and what is wrong with one of a user's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from torpor.telemetry.cost import (
    BadPrices,
    UnknownPrices,
    named_server,
    named_table,
    read_table,
    shipped_tables,
)
from torpor.telemetry.cost.rates import NodeShare, ResourceRates

OWN = """
title: mine
currency: EUR
asOf: 2026-01-31
sources: [an invoice]
vcpusPerGib: 0.5
node: { hour: 0.05, vcpus: 4, memoryGib: 8, gpus: 1 }
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_every_table_that_comes_along_has_a_date_and_a_source() -> None:
    found = {table.name: table for table in shipped_tables()}
    assert {"aws-lambda-x86", "aws-lambda-arm", "aws-fargate", "aws-fargate-spot"} <= found.keys()
    assert {"step-functions", "google-cloud-run", "azure-functions", "own-nodes"} <= found.keys()
    for table in found.values():
        assert table.as_of > date(2025, 1, 1)
        assert all(source.startswith("https://") for source in table.sources)


def test_a_table_is_completed_by_those_it_names() -> None:
    table = named_table("aws-lambda-x86")
    assert table.pods == named_table("aws-fargate").pods
    assert table.workflows == named_table("step-functions").workflows


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, OWN))
    assert (table.name, table.currency, table.as_of) == ("mine", "EUR", date(2026, 1, 31))
    assert table.pods == NodeShare(Decimal("0.05"), Decimal(4), Decimal(8), Decimal(1))
    assert named_server("mine", table).hour == Decimal("0.05")


def test_a_table_may_name_a_server_to_be_compared_with(tmp_path: Path) -> None:
    own = "server: { hour: 2, vcpus: 1, memoryGib: 3 } #"
    table = read_table(written(tmp_path, OWN.replace("node:", own)))
    assert table.server == named_server("mine", table)
    assert table.server is not None
    assert (table.server.hour, table.pods) == (Decimal(2), None)


def test_numbers_of_yaml_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = OWN.replace("node:", "pods: { vcpuHour: 0.1, gibHour: 0.2 } #")
    assert read_table(written(tmp_path, text)).pods == ResourceRates(Decimal("0.1"), Decimal("0.2"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("hour: 0.05", "hour: -1", r"mine\.yaml\.node\.hour: must be a number from 0"),
        ("hour: 0.05", "hour: .nan", r"node\.hour: must be a number from 0"),
        ("hour: 0.05", "hour: dear", r"node\.hour: must be a number, is 'dear'"),
        ("hour: 0.05", "hour: yes", r"node\.hour: must be a number, not bool"),
        ("vcpus: 4", "vcpus: 0", r"node\.vcpus: must be more than 0"),
        ("vcpus: 4, ", "", r"node\.vcpus: is required"),
        ("gpus: 1", "gpu: 1", r"node\.gpu: there is no such field"),
        ("node: {", "nodes: {", r"mine\.yaml\.nodes: there is no such field"),
        ("asOf: 2026-01-31", "asOf: lately", r"asOf: must be a date"),
        ("title: mine", "title: 7", r"title: must be a text"),
        ("sources: [an invoice]", "sources: invoice", r"sources: must be a list"),
        ("sources:", "with: [step-functions]\nsources:", r"with: step-functions is in USD"),
        ("sources:", "pods: {}\nsources:", r"by `pods` or by `node`"),
        ("title: mine", "title: {", r"is no YAML"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in OWN
    with pytest.raises(BadPrices, match=words):
        read_table(written(tmp_path, OWN.replace(old, new)))


def test_a_file_that_is_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match="must have fields, is list"):
        read_table(written(tmp_path, "[1, 2]"))
    with pytest.raises(BadPrices, match="cannot be read: No such file"):
        read_table(tmp_path / "none.yaml")
    with pytest.raises(BadPrices, match="longer than 65536 bytes"):
        read_table(written(tmp_path, "#" * 70_000))


@pytest.mark.parametrize("name", ["servers", "nope", "../own-nodes", ""])
def test_a_table_that_there_is_not(name: str) -> None:
    with pytest.raises(UnknownPrices, match=r"there are aws-fargate, .*own-nodes"):
        named_table(name)
