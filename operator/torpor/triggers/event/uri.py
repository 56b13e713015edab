"""URIs by the grammar of RFC 3986, appendix A.

What may follow a run of characters never begins with one of them, so a match takes time in
proportion to the text.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

_UNRESERVED_AND_SUB: Final = r"A-Za-z0-9\-._~!$&'()*+,;="


def _run(characters: str) -> str:
    """Any number of the characters and percent-encoded bytes."""
    return f"[{characters}]*(?:%[0-9A-Fa-f]{{2}}[{characters}]*)*"


_SEGMENT: Final = _run(_UNRESERVED_AND_SUB + ":@")
_SEGMENTS: Final = f"(?:/{_SEGMENT})*"
_AUTHORITY: Final = (
    f"(?:{_run(_UNRESERVED_AND_SUB + ':')}@)?"
    rf"(?:\[(?:(?P<v6>[0-9A-Fa-f:.]+)|v[0-9A-Fa-f]+\.[{_UNRESERVED_AND_SUB}:]+)\]"
    f"|{_run(_UNRESERVED_AND_SUB)})(?::[0-9]*)?"
)
_QUERY: Final = rf"(?:\?{_run(_UNRESERVED_AND_SUB + ':@/?')})?"
_FRAGMENT: Final = f"(?:#{_run(_UNRESERVED_AND_SUB + ':@/?')})?"
_ABSOLUTE_PATH: Final = f"/(?!/){_SEGMENT}{_SEGMENTS}"
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+\-.]*:"

_ABSOLUTE: Final = re.compile(
    f"{_SCHEME}(?://{_AUTHORITY}{_SEGMENTS}|{_ABSOLUTE_PATH}|(?!/){_SEGMENT}{_SEGMENTS}){_QUERY}"
)
_URI: Final = re.compile(f"{_ABSOLUTE.pattern}{_FRAGMENT}")
_RELATIVE: Final = re.compile(
    f"(?://{_AUTHORITY}{_SEGMENTS}|{_ABSOLUTE_PATH}"
    f"|(?!/){_run(_UNRESERVED_AND_SUB + '@')}(?![:]){_SEGMENTS}){_QUERY}{_FRAGMENT}"
)


def is_absolute_uri(text: str) -> bool:
    """Whether the text is an `absolute-URI` (section 4.3): with a scheme, without a fragment."""
    return _matches(_ABSOLUTE, text)


def is_uri_reference(text: str) -> bool:
    """Whether the text is a `URI-reference` (section 4.1): a URI, or relative to one."""
    return _matches(_URI, text) or _matches(_RELATIVE, text)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    found = pattern.fullmatch(text)
    return found is not None and (found["v6"] is None or _is_v6(found["v6"]))


def _is_v6(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True
