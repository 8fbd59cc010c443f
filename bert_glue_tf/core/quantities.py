"""Numbers as people read them: sizes, counts, shares and the digits that mean something."""

from __future__ import annotations

import math

_UNITS = ("B", "kB", "MB", "GB", "TB")


def significant(value: float, digits: int = 3) -> str:
    """Return a finite number without an exponent, rounded to so many significant digits.

    Digits before the point all stand, since 1,234 is no 1,230: `1234`, `92.8`, `0.00270`.
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{places}f}" if places > 0 else f"{value:.0f}"


def size(number: float) -> str:
    """Return a number of bytes in the unit that fits it: `614 B`, `92.8 MB`, `1.86 GB`.

    1 MB is 10^6 bytes, as in the report.
    """
    if number < 1000:
        return f"{number:.0f} B"
    power = 0
    while power < len(_UNITS) - 1 and float(f"{number:.2e}") >= 1000:
        number /= 1000
        power += 1
    return f"{significant(number)} {_UNITS[power]}"


def count(number: int) -> str:
    """Return a whole number with separators between thousands: `22,713,986`."""
    return f"{number:,}"


def threads(number: int) -> str:
    """Return a number of threads in words: `1 thread`, `2 threads`."""
    return f"{number} thread{'s' if number != 1 else ''}"


def percent(fraction: float, places: int = 1) -> str:
    """Return a fraction as a percentage with so many decimal places: `79.9 %`."""
    return f"{100 * fraction:.{places}f} %"


def share(fraction: float) -> str:
    """Return a fraction that may be tiny as a percentage of two significant digits: `0.0027 %`."""
    return f"{significant(100 * fraction, 2)} %"
