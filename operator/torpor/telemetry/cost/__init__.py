"""What the work costs: usage, as the metrics tell it, times prices that have a date. Pure.

`snapshot` is what the dashboard shows, `bill` and `compare` are what `torpor cost` prints. Money is
`Decimal` until it is JSON, so that a sum is the sum of what was shown.
"""

from torpor.telemetry.cost.bill import Bill, Item, Kind, bill
from torpor.telemetry.cost.comparison import Comparison, Load, compare
from torpor.telemetry.cost.rates import PriceTable, Server
from torpor.telemetry.cost.samples import ROLES, Source, source
from torpor.telemetry.cost.snapshot import Snapshot, snapshot, taken
from torpor.telemetry.cost.tables import (
    DEFAULT_SERVER,
    DEFAULT_TABLE,
    UnknownPrices,
    named_server,
    named_table,
    read_table,
    shipped_servers,
    shipped_tables,
)
from torpor.telemetry.cost.usage import BadUsage, Phase, Size, Steps, Usage, Work
from torpor.telemetry.cost.values import BadPrices

__all__ = [
    "DEFAULT_SERVER",
    "DEFAULT_TABLE",
    "ROLES",
    "BadPrices",
    "BadUsage",
    "Bill",
    "Comparison",
    "Item",
    "Kind",
    "Load",
    "Phase",
    "PriceTable",
    "Server",
    "Size",
    "Snapshot",
    "Source",
    "Steps",
    "UnknownPrices",
    "Usage",
    "Work",
    "bill",
    "compare",
    "named_server",
    "named_table",
    "read_table",
    "shipped_servers",
    "shipped_tables",
    "snapshot",
    "source",
    "taken",
]
