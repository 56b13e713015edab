"""The prices that a command line asks for."""

from __future__ import annotations

from pathlib import Path

from torpor.telemetry.cost import PriceTable, named_table, read_table


def table_of(prices: str) -> PriceTable:
    """Return the table of a name, or of a file; UnknownPrices or BadPrices say what is wrong."""
    is_file = "/" in prices or prices.endswith((".yaml", ".yml"))
    return read_table(Path(prices)) if is_file else named_table(prices)
