"""Secrets and ConfigMaps of a folder that stand for what is embedded in `torpor dev`. Pure.

One folder of YAML runs on a cluster, where the fields count as they are written, and here, where
the annotation `torpor.dev/embedded` says what takes their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from torpor.errors import InvalidResource
from torpor.resources.names import GROUP

EMBEDDED: Final = f"{GROUP}/embedded"
"""Annotation of a Secret or ConfigMap: what its addresses are replaced by."""
SCHEMA: Final = f"{GROUP}/embedded-schema"
"""Annotation of one for PostgreSQL: a ConfigMap whose SQL is run when the database is made."""
APIS: Final = ("TORPOR_GATEWAY", "TORPOR_WORKFLOWS", "TORPOR_EVENTS", "TORPOR_DASHBOARD")
"""The fields of one for the APIs, named as the variables that the commands read."""

_DATABASE: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9_]{0,62}")
_TAKEN: Final = frozenset({"postgres", "template0", "template1"})
_BUCKET: Final = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,62}")
_DSN = "stringData.dsn"
_URL = "stringData.url"
Values = Mapping[str, bytes]


class StandIn(StrEnum):
    """What may be embedded."""

    POSTGRESQL = "postgresql"
    """`dsn` becomes a database of that name in the embedded PostgreSQL."""
    STORAGE = "storage"
    """`url` becomes the folder that stands for its bucket; credentials are emptied."""
    APIS = "apis"
    """The addresses of Torpor's own APIs."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs here. `postgres` is the server's DSN, empty where there is none."""

    postgres: str = ""
    objects: Path | None = None
    """Each folder in it is a bucket."""
    apis: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """By field of `APIS` its URL, empty for one that is not served."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What values may contain that another `torpor dev` of the folder has elsewhere."""
        return *(self.apis.get(name, "") for name in APIS), urlsplit(self.postgres).query


@dataclass(frozen=True, slots=True)
class Source:
    """A Secret or ConfigMap: its fields as written, and what they stand for."""

    fields: Values = field(repr=False)
    stand_in: StandIn | None = None
    schema: str = ""
    """The name of the ConfigMap with SQL."""

    @property
    def database(self) -> str:
        """The database that it names; InvalidResource if that cannot be one."""
        url = self._url("dsn", _DSN, "postgresql://user:password@host/database")
        name = unquote(url.path).removeprefix("/")
        if not _DATABASE.fullmatch(name) or name in _TAKEN:
            problem = f"{name!r} cannot be a database here: end it with one such as /media"
            raise InvalidResource(_DSN, problem)
        return name

    @property
    def place(self) -> tuple[str, str]:
        """The bucket that it names and the path in it; InvalidResource if that is none."""
        url = self._url("url", _URL, "s3://bucket")
        if not _BUCKET.fullmatch(url.netloc) or ".." in url.path.split("/"):
            raise InvalidResource(_URL, "must name a bucket, such as s3://media or s3://media/path")
        return url.netloc, url.path.strip("/")

    def check(self) -> None:
        """Raise InvalidResource for fields that nothing can stand for."""
        if self.stand_in is StandIn.POSTGRESQL:
            _ = self.database
        elif self.stand_in is StandIn.STORAGE:
            _ = self.place
        elif self.stand_in is StandIn.APIS and not any(name in self.fields for name in APIS):
            raise InvalidResource("data", f"has none of the fields {', '.join(APIS)}")

    def values(self, embedded: Embedded) -> Values:
        """Return the fields as they count here; those that nothing stands for are as written."""
        if self.stand_in is StandIn.POSTGRESQL and embedded.postgres:
            return {**self.fields, "dsn": database_dsn(embedded.postgres, self.database).encode()}
        if self.stand_in is StandIn.STORAGE and embedded.objects:
            return self._stored(embedded.objects)
        if self.stand_in is StandIn.APIS:
            served = {name: url.encode() for name, url in embedded.apis.items()}
            return {**self.fields, **{k: v for k, v in served.items() if k in self.fields}}
        return self.fields

    def _stored(self, objects: Path) -> Values:
        emptied = {name: b"" for name in self.fields if name.startswith("AWS_")}
        url = f"file://{quote(str(objects.joinpath(*self.place)))}"
        return {**self.fields, **emptied, "url": url.encode()}

    def _url(self, name: str, place: str, example: str) -> SplitResult:
        """Return a field that is an address; what is wrong is not shown, it may hold a password."""
        try:
            found = self.fields[name].decode()
        except (KeyError, UnicodeDecodeError):
            raise InvalidResource(place, f"is required, such as {example}") from None
        try:
            url = urlsplit(found)
        except ValueError:
            url = None
        if url is None or "://" not in found:
            raise InvalidResource(place, f"must be an address such as {example}")
        return url


def stand_in(annotations: Mapping[str, str]) -> StandIn | None:
    """Return what an object's annotation asks for; InvalidResource for what is not embedded."""
    asked = annotations.get(EMBEDDED)
    if asked is None:
        return None
    try:
        return StandIn(asked)
    except ValueError:
        known = ", ".join(StandIn)
        place = f"metadata.annotations[{EMBEDDED}]"
        raise InvalidResource(place, f"{asked!r} is not embedded: write one of {known}") from None


def database_dsn(server: str, database: str) -> str:
    """Return the DSN of another database of a server."""
    return urlsplit(server)._replace(path=f"/{quote(database, safe='')}").geturl()
