"""What a study's own validators complain of: several things at once, each with its place."""

import re
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from fly64_assets.science.registry import did_you_mean, shown

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")
Complaint = tuple[tuple[str | int, ...], str]
"""A place below the field or record that is judged, and what is wrong there."""


def refuse(complaints: Iterable[Complaint]) -> None:
    """Raise all complaints at once, each with its place; nothing if there are none."""
    faults = [
        InitErrorDetails(type=PydanticCustomError("study", "{text}", {"text": text}), loc=place, input=None)
        for place, text in complaints
    ]
    if faults:
        raise ValidationError.from_exception_data("Study", faults)


def name_complaints(names: Iterable[str]) -> list[Complaint]:
    """Names of views and methods, which become names of folders and assets, that are no plain names."""
    return [
        (
            (name, "[key]"),
            f"{shown(name)} is no name: up to 40 lower-case letters, digits and _, first a letter",
        )
        for name in names
        if not NAME_PATTERN.fullmatch(name)
    ]


def repetitions(labels: list[str], noun: str) -> Iterable[Complaint]:
    """Items of a list that stand in it before."""
    first: dict[str, int] = {}
    for index, label in enumerate(labels):
        if first.setdefault(label, index) != index:
            yield (index,), f"the {noun} {label} is given twice: remove one"


def unknown_name(name: str, noun: str, known: Iterable[str]) -> str:
    """The words for a name that the study does not have, with the nearest that it has."""
    names = list(known)
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"{shown(name)} is no {noun} of this study{did_you_mean(name, names)} (known: {listed})"
