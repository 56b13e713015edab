"""How a part of the installation proves to an instance that it is one."""

from __future__ import annotations

from _operator import _compare_digest  # hmac's, without OpenSSL


def proves(given: str, token: str) -> bool:
    """Return whether a caller showed the token, in time that says nothing of where it differs."""
    return bool(token) and _compare_digest(given.encode(errors="replace"), token.encode())
