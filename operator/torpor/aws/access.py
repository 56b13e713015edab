"""Who may use an API: a client that signs with a known key, or brings the token.

The token is a bearer's (RFC 6750), or in the header of who comes through a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torpor.aws.errors import Refused
from torpor.aws.sigv4 import Signed, verify
from torpor.resources.tokens import TOKEN_HEADER, matches


@dataclass(frozen=True, slots=True)
class Access:
    """The keys (id to secret) and the token that are known; with neither all are let in."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def open(self) -> bool:
        """Whether nobody has to prove anything."""
        return self.token is None and not self.secrets

    def check(self, request: Signed, now: float) -> None:
        """Refuse a request of somebody unknown; `now` is Unix time."""
        if self.open:
            return
        passed = request.headers.get(TOKEN_HEADER.lower())
        if passed is not None:
            return self._check_bearer(passed)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
        if scheme.lower() == "bearer":
            return self._check_bearer(given.strip())
        return verify(request, self.secrets, now)

    def _check_bearer(self, given: str) -> None:
        if self.token is None or not matches(self.token, given):
            message = "The security token included in the request is invalid."
            raise Refused("UnrecognizedClientException", message)
