"""What a report says of a method because of what it is: from its role, never from its name or place.

Method names stand in backticks; everything else is plain text.
"""

import statistics
from collections.abc import Sequence

from fly64_assets.science.records import MethodRole
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.scores import Scores
from fly64_assets.science.report.wording import listed


def described(role: MethodRole, data: ReportData) -> str:
    """A method in a few words: what it is, what it learned from, what it starts from."""
    parts = [role.meaning or role.kind, learning(role, data)]
    if role.starts_from is not None:
        rests = " and rests on its network" if role.learned and role.learns_from is None else ""
        parts.append(f"starts from `{role.starts_from}`{rests}")
    elif role.learns_from is None:
        parts.append("starts from a flat object")
    return "; ".join(part for part in parts if part)


def learning(role: MethodRole, data: ReportData) -> str:
    """What a method's own training sees, and of which view; empty if it trains nothing.

    A method that trains for the probe has seen no pattern and no object of the scan.
    """
    if role.trains == "probe":
        target = "objects of which it knows the truth" if role.learns_from == "truth" else "counts alone"
        return f"trained once, for the probe, on {target}"
    if role.trains == "nothing":
        return ""
    where = f"of view {role.trained_on}" if role.trained_on else "of each view, a network for each"
    target = f"the {perfect(data)}" if role.learns_from == "truth" else "the counts alone"
    return f"trained on {target} {where}"


def perfect(data: ReportData) -> str:
    """What scores are held against, in a word."""
    return "reference" if data.is_reference else "truth"


def favoured(data: ReportData) -> list[str]:
    """Methods of the kind that made the reference; none if the object is the truth."""
    return [r.name for r in data.methods if data.is_reference and r.kind == data.reference_kind]


def quoted(names: Sequence[str]) -> str:
    """Names in backticks, as prose.

    >>> quoted(["mine", "yours"])
    '`mine` and `yours`'
    """
    return listed([f"`{name}`" for name in names])


def unequal_training(data: ReportData, scores: Scores) -> list[str]:
    """Who learned with the object as target and who from counts, with the patterns that each trained on.

    Args:
        data: the study.
        scores: for who was scored, and the patterns of each training.

    Returns:
        At most one sentence; none if nothing that was scored had the object as target.
    """
    shown = set(scores.methods())
    trained = [r for r in data.methods if r.trains != "nothing" and r.name in shown]
    taught = [_with_patterns(scores, r) for r in trained if _saw_the_object(r)]
    others = [_with_patterns(scores, r) for r in trained if r.learns_from == "counts"]
    if not taught:
        return []
    target = "reference" if data.is_reference else "true object"
    text = f"{listed(taught)} learned with the {target} as target"
    return [f"{text}, {listed(others)} from counts alone." if others else f"{text}; nothing else here saw it."]


def _with_patterns(scores: Scores, role: MethodRole) -> str:
    found = [scores.get(*cell, role.name, "patterns_trained_on") for cell in scores.cells()]
    known = [e.value for e in found if e and e.value > 0]
    where = f"view {role.trained_on}" if role.trained_on else ""
    number = f"{statistics.median(known):,.0f} patterns in the median" if known else ""
    note = ", ".join(part for part in (where, number) if part)
    return f"`{role.name}` ({note})" if note else f"`{role.name}`"


def training_sentences(data: ReportData) -> list[str]:
    """What each method's training sees, methods with the same training together, and who trains nothing."""
    by_training: dict[str, list[str]] = {}
    for role in data.methods:
        by_training.setdefault(learning(role, data), []).append(role.name)
    untrained = by_training.pop("", [])
    sentences = []
    for text, names in by_training.items():
        sentences.append(f"{quoted(names)} {'is' if len(names) == 1 else 'are'} {text}.")
    own = [name for name in untrained if not _role(data, name).learned]
    resting = [name for name in untrained if _role(data, name).learned]
    if own:
        sentences.append(f"{quoted(own)} {'trains' if len(own) == 1 else 'train'} nothing.")
    if resting:
        verb = "rests on the network that it starts" if len(resting) == 1 else "rest on the networks that they start"
        sentences.append(
            f"{quoted(resting)} {verb} from: that training counts for {'it' if len(resting) == 1 else 'them'}."
        )
    taught = {role.name for role in data.methods if _saw_the_object(role)}
    if taught and any(role.name not in taught and role.starts_from not in taught for role in data.methods):
        sentences.append(
            "A comparison of what learned from the object with what saw counts alone is not one of equals."
        )
    return sentences


def _saw_the_object(role: MethodRole) -> bool:
    """Whether a method's training had the object of the scan as target; one for the probe has other objects."""
    return role.trains == "view" and role.learns_from == "truth"


def _role(data: ReportData, name: str) -> MethodRole:
    return next(role for role in data.methods if role.name == name)
