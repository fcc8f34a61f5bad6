"""How a number is written: its unit, and no more digits than its interval supports."""

import math

# What is written for a number that could not be measured.
UNKNOWN = "not known"

# Scales of a unit, smallest first: (one of it in the base unit, what is written after the number).
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1e-6, " µs"), (1e-3, " ms"), (1.0, " s")),
    "bytes": ((1.0, " B"), (1e3, " kB"), (1e6, " MB"), (1e9, " GB")),
    "share": ((0.01, " %"),),
    "ratio": ((1.0, "×"),),
}


def has_scales(unit: str) -> bool:
    """Whether the unit is written in steps (ms, s), so that a number means nothing without it."""
    return unit in _SCALES


def scale(largest: float, unit: str) -> tuple[float, str]:
    """The divisor and the suffix for numbers up to `largest` (in `unit`)."""
    scales = _SCALES.get(unit)
    if scales is None:
        return 1.0, f" {unit}" if unit else ""
    fitting = [entry for entry in scales if abs(largest) >= entry[0]]
    return fitting[-1] if fitting else scales[0]


def written(value: float, unit: str = "", low: float = math.nan, high: float = math.nan) -> str:
    """`value` with its unit: `written(0.01234, "s")` is `12.3 ms`.

    With the interval's ends the last digit is of the order of the interval's width. Units with
    scales of their own are s, bytes, share (as per cent) and ratio; any other is written as it is.
    nan is `not known`.
    """
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else f"{'minus ' if value < 0 else ''}infinite"
    if isinstance(value, int) and not has_scales(unit):
        return f"{value:,}{scale(value, unit)[1]}"
    divisor, suffix, places = _form(value, unit, low, high)
    return f"{_digits(value / divisor, places)}{suffix}"


def written_range(value: float, unit: str, low: float, high: float) -> str:
    """The interval's ends with the unit, in the digits `written` uses: `11.8 to 13.1 ms`.

    An infinite end is left open: `at least 11.8 ms`.
    """
    if math.isnan(low) or math.isnan(high):
        return "interval not known"
    divisor, suffix, places = _form(value, unit, low, high)
    least, most = (_digits(end / divisor, places) for end in (low, high))
    if math.isinf(high):
        return "any value" if math.isinf(low) else f"at least {least}{suffix}"
    if math.isinf(low):
        return f"at most {most}{suffix}"
    return f"{least} to {most}{suffix}"


def rounded(value: float, unit: str) -> str:
    """A number that somebody chose, with its unit and no digits it does not need: `3×`."""
    if not math.isfinite(value):
        return written(value)
    divisor, suffix = scale(value, unit)
    return f"{value / divisor:,.6g}{suffix}"


def _form(value: float, unit: str, low: float, high: float) -> tuple[float, str, int]:
    finite = [end for end in (value, low, high) if math.isfinite(end)]
    divisor, suffix = scale(max((abs(end) for end in finite), default=0.0), unit)
    width = (max(finite) - min(finite)) / divisor if finite else 0.0
    return divisor, suffix, _places(value / divisor, width)


def _places(value: float, width: float) -> int:
    """Decimals, negative for tens and hundreds: three significant digits, or as many as half the
    interval's width leaves, from two to four."""
    half = math.floor(math.log10(width / 2)) if width else 0
    if not value:
        return -half
    # Of the value as it will be read: 99.9999 is a hundred.
    magnitude = math.floor(math.log10(float(f"{abs(value):.2e}")))
    digits = min(max(magnitude - half + 1, 2), 4) if width else 3
    return digits - 1 - magnitude


def _digits(value: float, places: int) -> str:
    return f"{round(value, places) if math.isfinite(value) else value:,.{max(places, 0)}f}"
