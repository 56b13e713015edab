"""A YAML document of prices, read field by field: every refusal says where it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import yaml

from torpor.telemetry.cost.values import BadPrices, NotANumber, amount


class Document:
    """A mapping and its place, such as `own.yaml.pods`."""

    def __init__(self, place: str, body: object) -> None:
        if not isinstance(body, Mapping):
            raise BadPrices(f"{place}: must have fields, is {type(body).__name__}")
        self.place = place
        self._body: Mapping[Any, Any] = body

    @classmethod
    def parse(cls, place: str, text: bytes) -> Document:
        """Return the document in a text; BadPrices if it is no YAML with fields."""
        try:
            return cls(place, yaml.safe_load(text))
        except (yaml.YAMLError, ValueError) as error:
            raise BadPrices(f"{place} is no YAML: {error}") from error

    @property
    def names(self) -> list[str]:
        """The names of its fields."""
        return [str(name) for name in self._body]

    def only(self, *names: str) -> None:
        """Refuse fields of any other name: a price that is misspelt is not missed else."""
        for name in self.names:
            if name not in names:
                raise BadPrices(f"{self.place}.{name}: there is no such field, only {names}")

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self._body.get(name) is not None

    def child(self, name: str) -> Document:
        """Return the fields below a field."""
        return Document(f"{self.place}.{name}", self._needed(name))

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._needed(name)
        if not isinstance(value, str) or not value:
            raise BadPrices(f"{self.place}.{name}: must be a text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._needed(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadPrices(f"{self.place}.{name}: must be a list of texts")
        return tuple(value)

    def day(self, name: str) -> date:
        """Return a date, as YAML has it: 2025-11-01."""
        value = self._needed(name)
        if type(value) is not date:
            raise BadPrices(f"{self.place}.{name}: must be a date such as 2025-11-01")
        return value

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        """Return an amount from 0; `default` where the field is absent, else it is needed."""
        if default is not None and not self.has(name):
            return default
        try:
            return amount(self._needed(name))
        except NotANumber as error:
            raise BadPrices(f"{self.place}.{name}: {error}") from error

    def positive(self, name: str) -> Decimal:
        """Return an amount above 0."""
        value = self.number(name)
        if not value:
            raise BadPrices(f"{self.place}.{name}: must be more than 0")
        return value

    def _needed(self, name: str) -> Any:
        if not self.has(name):
            raise BadPrices(f"{self.place}.{name}: is required")
        return self._body[name]
