"""Where prices are found: the tables and servers that come with Torpor, and its user's files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from torpor.errors import TorporError
from torpor.telemetry.cost.document import Document
from torpor.telemetry.cost.parsing import parsed, server
from torpor.telemetry.cost.rates import PriceTable, Server
from torpor.telemetry.cost.values import BadPrices

DEFAULT_TABLE = "own-nodes"
DEFAULT_SERVER = "t3.medium"
_SERVERS = "servers"
_MOST_BYTES = 64 * 1024


class UnknownPrices(TorporError):
    """No table of prices, or no server, has that name."""

    code = "unknown-prices"


def shipped_tables() -> tuple[PriceTable, ...]:
    """Return the tables that come with Torpor, by name."""
    return tuple(named_table(name) for name in _names())


def named_table(name: str) -> PriceTable:
    """Return a table that comes with Torpor; UnknownPrices names those that there are."""
    if name not in _names():
        known = ", ".join(_names())
        raise UnknownPrices(f"there is no price table {name!r}; there are {known}, or give a file")
    return _shipped(name)


def read_table(path: Path) -> PriceTable:
    """Return the table in a file; BadPrices says where it is wrong."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadPrices(f"{path} cannot be read: {error.strerror or error}") from error
    if len(text) > _MOST_BYTES:
        raise BadPrices(f"{path} is longer than {_MOST_BYTES} bytes, so it is no price table")
    return parsed(path.stem, Document.parse(str(path), text), named_table)


@cache
def shipped_servers() -> Mapping[str, Server]:
    """Return the machines that are always on, by name."""
    machines = Document.parse(_SERVERS, _text(_SERVERS)).child("servers")
    return MappingProxyType({name: server(name, machines.child(name)) for name in machines.names})


def named_server(name: str, table: PriceTable) -> Server:
    """Return the machine of that name; a table's name is its own, such as the node of own-nodes."""
    own = table if name == table.name else named_table(name) if name in _names() else None
    found = own.server if own else shipped_servers().get(name)
    if found is None:
        known = ", ".join([*shipped_servers(), DEFAULT_TABLE])
        raise UnknownPrices(f"there is no server {name!r} with a price; there are {known}")
    return found


@cache
def _names() -> tuple[str, ...]:
    files = resources.files("torpor.telemetry.cost").joinpath("prices").iterdir()
    return tuple(sorted({Path(item.name).stem for item in files} - {_SERVERS}))


@cache
def _shipped(name: str) -> PriceTable:
    return parsed(name, Document.parse(name, _text(name)), named_table)


def _text(name: str) -> bytes:
    folder = resources.files("torpor.telemetry.cost").joinpath("prices")
    return folder.joinpath(f"{name}.yaml").read_bytes()
