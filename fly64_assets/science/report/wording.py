"""Numbers and names as text."""

import math
from collections.abc import Sequence

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLURAL_FROM = 2


def dose_text(dose: float) -> str:
    """A dose as a power of ten where it is one.

    >>> dose_text(1000.0), dose_text(2500.0), dose_text(3e6)
    ('10³', '2,500', '3 × 10⁶')
    """
    exponent = round(math.log10(dose)) if dose > 0 else 0
    if dose > 0 and exponent >= 2 and math.isclose(dose, 10.0**exponent, rel_tol=1e-12):
        return f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    if dose >= 1e6:
        exponent = math.floor(math.log10(dose))
        return f"{dose / 10**exponent:.3g} × 10{str(exponent).translate(_SUPERSCRIPTS)}"
    return f"{dose:,.0f}" if float(dose).is_integer() else f"{dose:,.4g}"


def number_text(value: float, digits: int = 3) -> str:
    """A number to ``digits`` significant digits, thousands grouped, a real minus sign; "–" for none.

    >>> number_text(0.123456), number_text(12345.6), number_text(-0.5), number_text(float("nan")), number_text(0.0)
    ('0.123', '12,346', '−0.5', '–', '0')
    """
    if not math.isfinite(value):
        return "–"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e7):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")
    if abs(value) >= 10**digits:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def fixed_text(value: float, decimals: int = 2) -> str:
    """A number with fixed decimals and a real minus sign, never "−0.00".

    >>> fixed_text(0.5), fixed_text(-0.001), fixed_text(float("nan"))
    ('0.50', '0.00', '–')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")


def signed_text(value: float, decimals: int = 2) -> str:
    """A difference with fixed decimals and its sign; none for what rounds to zero.

    >>> signed_text(0.5), signed_text(-0.5), signed_text(0.001)
    ('+0.50', '−0.50', '0.00')
    """
    text = fixed_text(value, decimals)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def listed(items: Sequence[str], conjunction: str = "and", limit: int = 99) -> str:
    """Items as prose.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"]), listed(list("abcd"), limit=2)
    ('a', 'a and b', 'a, b and c', 'a, b and 2 more')
    """
    shown = list(items[:limit])
    if len(items) > limit:
        shown.append(f"{len(items) - limit} more")
    if len(shown) < _PLURAL_FROM:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "cell"), counted(3, "cell"), counted(0, "cell")
    ('1 cell', '3 cells', '0 cells')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
