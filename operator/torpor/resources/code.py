"""Where a runtime function's code comes from, and what the CRD refuses of it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields

_SOURCES = ("configMap", "inline", "archive")
_ONE_CODE = (
    "give exactly one of code.configMap (the name of a ConfigMap), code.inline "
    "(the source itself) and code.archive (url and sha256)"
)
_URL = re.compile(r"https?://[^/@?#\s]+([/?][^\s]*)?", re.ASCII)
_BAD_URL = (
    "archive.url must read https://host/path or http://host/path, without a user and password; "
    "sign the URL instead"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BAD_SHA256 = "archive.sha256 must be the 64 lower-case hexadecimal digits that sha256sum prints"


@dataclass(frozen=True, slots=True)
class Archive:
    """A .tar.gz or .zip that instances fetch; `sha256` is of the packed bytes, in hexadecimal."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Code:
    """Exactly one of the three."""

    config_map: str | None = None
    inline: str | None = None
    archive: Archive | None = None

    @classmethod
    def parse(cls, code: Fields) -> Self:
        """Return what `spec.code` says; InvalidResource names the bad field."""
        archive = code.child("archive") if code.has("archive") else None
        return cls(
            code.optional_text("configMap"),
            code.optional_text("inline"),
            Archive(archive.text("url", ""), archive.text("sha256", "")) if archive else None,
        )


def check_code(code: Fields) -> None:
    """Refuse what the CRD's rules refuse of `spec.code`, in the same words."""
    if sum(map(code.has, _SOURCES)) != 1:
        raise InvalidResource("spec.code", _ONE_CODE)
    if not code.has("archive"):
        return
    archive = code.child("archive")
    if not _URL.fullmatch(archive.text("url", "")):
        raise InvalidResource("spec.code.archive.url", _BAD_URL)
    if not _SHA256.fullmatch(archive.text("sha256", "")):
        raise InvalidResource("spec.code.archive.sha256", _BAD_SHA256)
