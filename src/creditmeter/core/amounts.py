"""Amounts of credit: whole microcredits, never floats.

One credit is 1,000,000 microcredits and stands for about $0.01 of AI budget.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import NewType

Microcredits = NewType("Microcredits", int)

MICROCREDITS_PER_CREDIT = 1_000_000

MAX_AMOUNT = Microcredits(10**15)
"""The largest amount in a request, in microcredits: a billion credits. The sum of thousands of such amounts fits an int64."""

MAX_BALANCE = Microcredits(9 * 10**18)
"""The largest balance of an account after it was given credit, in microcredits. An int64 has room for plan grants, too.

It also bounds each total that only grows: what was ever leased on one lease, what refunds returned to one grant, what one
hold was charged, what one recall waits for.
"""

ZERO = Microcredits(0)

_EXACT = Context(prec=60, traps=[InvalidOperation, Inexact, Overflow])


def from_credits(credits: int | str | Decimal) -> Microcredits:
    """Turn a number of credits into microcredits, exactly.

    Raises:
        ValueError: it is not a number, has more than six decimal places, or is beyond all reason: as a whole number 1e900000
            alone would take half a minute.
    """
    try:
        scaled = _EXACT.multiply(Decimal(credits), MICROCREDITS_PER_CREDIT)
    except (InvalidOperation, Inexact, Overflow):
        raise ValueError(f"{credits!r} is not a number of credits") from None
    if scaled and scaled.adjusted() >= _EXACT.prec:
        raise ValueError(f"{credits!r} is more than any number of credits")
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{credits!r} is not a whole number of microcredits (at most six decimal places)")
    return Microcredits(int(scaled))


def format_credits(amount: int) -> str:
    """Write microcredits as credits without trailing zeros: 1_500_000 is ``1.5``."""
    whole, fraction = divmod(abs(amount), MICROCREDITS_PER_CREDIT)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}" + (f".{fraction:06d}".rstrip("0") if fraction else "")
