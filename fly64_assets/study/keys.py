"""Partition keys: doses and views as text."""


def dose_key(dose: float) -> str:
    """Partition key of a dose: an integer without exponent where it is one.

    >>> dose_key(1e5), dose_key(0.5)
    ('100000', '0.5')
    """
    return str(int(dose)) if float(dose).is_integer() else repr(float(dose))


def dose_label(dose: float) -> str:
    """Dose in the short form that logs use.

    >>> dose_label(1000), dose_label(2500)
    ('1e3', '2.5e3')
    """
    mantissa, exponent = f"{dose:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def split_partition(partition: str | None) -> tuple[str, str]:
    """Dose and view of a partition key; empty where the asset has no such dimension.

    >>> split_partition("1000|dense"), split_partition("1000"), split_partition(None)
    (('1000', 'dense'), ('1000', ''), ('', ''))
    """
    dose, _, view = (partition or "").partition("|")
    return dose, view
