"""Numbers as bills need them: exact, finite, not below zero.

Prices are fractions of a millionth, which binary floats cannot hold: `Decimal` throughout.
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

from torpor.errors import TorporError

ZERO = Decimal(0)
HOUR_SECONDS = Decimal(3600)
MONTH_SECONDS = Decimal(730 * 3600)
"""A month as the clouds' calculators count it: 730 hours, a twelfth of a year."""
_MOST = Decimal(10) ** 19
"""Above what Kubernetes takes for a size, 2^63 - 1 bytes: no Function makes a bill unreadable."""
_LEAST = Decimal("1e-18")
_PLACES = Decimal("1e-12")
WIDE = Context(prec=80)
"""Has room for the largest amount in steps of the least."""


class BadPrices(TorporError):
    """A price table that cannot be understood; the message names the place in it."""

    code = "bad-prices"


class NotANumber(ValueError):
    """Something is no amount; the message says why."""


def amount(value: object) -> Decimal:
    """Return a number or its text as an exact one from 0 to 1e19; NotANumber says what is wrong.

    What is below 1e-18 is 0: nothing that is divided by an amount is too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise NotANumber(f"must be a number, not {type(value).__name__}")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise NotANumber(f"must be a number, is {value!r}") from error
    if not number.is_finite() or not ZERO <= number <= _MOST:
        raise NotANumber(f"must be a number from 0 to 1e19, is {value!r}")
    return number if number >= _LEAST else ZERO


def rounded(value: Decimal) -> Decimal:
    """Return an amount to a millionth of a millionth, so that sums of such are exact."""
    return value.quantize(_PLACES, context=WIDE)


def to_number(value: Decimal) -> float:
    """Return an amount for JSON, to a millionth of a millionth."""
    return float(rounded(value))
