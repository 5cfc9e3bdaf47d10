"""Lengths of time as text: a number of seconds, or numbers with units."""

import re
from decimal import Decimal

_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3_600), "d": Decimal(86_400)}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def read_seconds(text: str) -> float:
    """Seconds from `600`, `0.25`, `10m`, `1h30m` or `250ms`. The units are ms, s, m, h and d; parts are added up.

    Raises:
        ValueError: it is none of these; the message says what to write.
    """
    plain = text.strip()
    if re.fullmatch(_NUMBER, plain):
        return float(plain)
    if not _DURATION.fullmatch(plain):
        raise ValueError(f"{text!r} is no length of time: write seconds (30, 0.25) or units (250ms, 30s, 10m, 1h30m)")
    return float(sum(Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(plain)))


def format_seconds(seconds: float) -> str:
    """A length of time with its units, as `read_seconds` takes it: `10m`, `1h30m`, `250ms`, `0s`."""
    rest = Decimal(repr(seconds))
    parts = []
    for unit in ("d", "h", "m", "s"):
        count = int(rest // _UNITS[unit])
        rest -= count * _UNITS[unit]
        parts += [f"{count}{unit}"] if count else []
    parts += [f"{(rest * 1_000).normalize():f}ms"] if rest else []
    return "".join(parts) or "0s"
