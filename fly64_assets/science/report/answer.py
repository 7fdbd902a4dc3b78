"""The answer in words, computed from the scores alone.

Method names stand in backticks; everything else is plain text. A sentence is written only if the table carries it:
an advantage is claimed only where the interval of the paired difference excludes 0 (of one object and one noise: where
the block bootstrap intervals are apart), and what was not scored is not mentioned as a result.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fly64_assets.science.report.caveats import caveats
from fly64_assets.science.report.charts import measured_overlap
from fly64_assets.science.report.cost_sentences import reconstruction_time, training_time
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.equal_time import at_equal_time, equal_time_sentences
from fly64_assets.science.report.ranking import Cell, cell_name, cells_text, leaders, rank, view_name
from fly64_assets.science.report.roles import quoted
from fly64_assets.science.report.scores import HEADLINE, Difference, Estimate, Scores
from fly64_assets.science.report.wording import counted, dose_text, fixed_text, listed, signed_text

MAX_NAMED_RIVALS = 2
"""With more methods without a network, a learned one is held against the best of them."""
MAX_NAMED_TIES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What the table says.

    Attributes:
        paragraph: the answer, sentence by sentence.
        short: in how many cells each method is at the top, one sentence; empty if the table does not say.
        details: how each learned method stands against those without a network, also at equal CPU time, and what
            training costs.
        caveats: what to keep in mind.
    """

    paragraph: tuple[str, ...]
    short: str = ""
    details: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    def text(self) -> str:
        """The paragraph as one string; method names stay in backticks, which is Markdown."""
        return " ".join(self.paragraph)


def answer(data: ReportData, scores: Scores | None = None) -> Answer:
    """Who scores highest where, by how much, down to which dose, and at what cost.

    Args:
        data: the study and its results.
        scores: the same metrics, if already aggregated.

    Returns:
        Sentences that hold for exactly this table.
    """
    scores = scores or Scores(data.metrics, data.names)
    cells = _scored_cells(data, scores)
    to_keep_in_mind = tuple(caveats(data, scores, cells))
    if not cells:
        return Answer((_nothing_scored(data, scores),), caveats=to_keep_in_mind)
    paragraph = [_scope(data, scores, cells), *_leaders(scores, cells), *_usefulness(data, scores, cells)]
    paragraph += reconstruction_time(scores, cells)
    details = [*_against_classical(data, scores, cells), *_other_alignment(scores, cells)]
    details += equal_time_sentences(data, at_equal_time(data, scores))
    details += training_time(data, scores, cells)
    return Answer(tuple(paragraph), _at_the_top(scores, cells), tuple(details), to_keep_in_mind)


def _scored_cells(data: ReportData, scores: Scores) -> list[Cell]:
    present = set(scores.cells())
    return [(d, v) for v in data.views for d in sorted(data.doses) if (d, v) in present]


def _at_the_top(scores: Scores, cells: Sequence[Cell]) -> str:
    """In how many of its cells each method is highest or cannot be told apart from the highest."""
    judged = [cell for cell in cells if leaders(scores, cell)]
    if not any(math.isfinite(e.low) for cell in judged for _, e in rank(scores, cell)):
        return ""
    counts = []
    for method in scores.order:
        mine = [cell for cell in judged if method in dict(rank(scores, cell))]
        if mine:
            counts.append((sum(method in leaders(scores, cell) for cell in mine), len(mine), method))
    ordered = sorted(counts, key=lambda c: (-c[0] / c[1], -c[1]))
    parts = [f"`{method}` in {n if n else 'none'} of {total}" for n, total, method in ordered]
    first = parts[0] + (" cell" if ordered[0][1] == 1 else " cells")
    return f"Highest, or not to be told apart from the highest: {listed([first, *parts[1:]])}."


def _nothing_scored(data: ReportData, scores: Scores) -> str:
    elsewhere = " Scores of the train split exist, but they are no answer." if scores.cells("train") else ""
    total = len(data.all_cells())
    return f"No answer yet: none of the {counted(total, 'cell')} has a phase SSIM on the test split.{elsewhere}"


def _scope(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> str:
    total = len(data.all_cells())
    extent = f"{len(cells)} of {counted(total, 'cell')}" if len(cells) < total else counted(total, "cell")
    extent = f"all {extent}" if len(cells) == total > 1 else extent
    extent = "the only cell" if total == 1 else extent
    perfect = "the reference" if data.is_reference else "the object"
    flat = [e.value for e in (scores.get(*c, "flat", "ssim", "phase") for c in cells) if e]
    scale = f"1 is {perfect} itself"
    if flat:
        low, high = fixed_text(min(flat)), fixed_text(max(flat))
        scale += f", an empty object scores {low}" + (f" to {high}" if high != low else "")
    return f"{_basis(data, scores, cells)}judged by the SSIM of the phase on the test split ({scale}), in {extent}:"


def _basis(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> str:
    """What the sentences hold for: objects in general, or one object, and noise in general or one noise."""
    found = [e for cell in cells for _, e in rank(scores, cell)]
    n_objects = max((e.n_objects for e in found), default=1)
    if n_objects > 1:
        kinds = Counter(name.rpartition("_")[0] for name in data.objects)
        named = f" ({listed([f'{n} {kind}' for kind, n in kinds.items()])})" if kinds else ""
        return f"Over {n_objects} objects{named}, by paired differences with 95 % t-intervals, "
    seeds = max((e.n_seeds for e in found), default=1)
    return f"On this object, over {seeds} noise seeds, " if seeds > 1 else "On this object, and for this noise, "


def _leaders(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    ranked = {cell: rank(scores, cell) for cell in cells}
    if not any(math.isfinite(e.low) for found in ranked.values() for _, e in found):
        return _highest_without_intervals(ranked, scores.order)
    wins: dict[str, list[Cell]] = defaultdict(list)
    ties: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        first = leaders(scores, cell)
        if len(first) == 1:
            wins[first[0]].append(cell)
        elif first:
            ties[tuple(first)].append(cell)
    sentences = []
    for method, found in sorted(wins.items(), key=lambda item: (-len(item[1]), scores.order.index(item[0]))):
        margins = [scores.difference(*c, method, ranked[c][1][0]) for c in found]
        where = cells_text(found, cells, scores.order)
        sentences.append(f"`{method}` scores highest in {where}, by {_margin(margins)} over the next.")
    verb = "cannot be told apart at the top"
    by_extent = sorted(ties.items(), key=lambda item: -len(item[1]))
    named = by_extent if len(by_extent) <= MAX_NAMED_TIES else by_extent[: MAX_NAMED_TIES - 1]
    for methods, found in named:
        sentences.append(f"In {cells_text(found, cells, scores.order)}, {quoted(methods)} {verb}.")
    rest = [cell for _, found in by_extent[len(named) :] for cell in found]
    if rest:
        sentences.append(f"In {len(rest)} further cells several methods {verb} (≈ in the table).")
    alone = [c for c in cells if len(ranked[c]) == 1]
    for method in scores.order:
        mine = [c for c in alone if ranked[c][0][0] == method]
        if mine:
            values = _range([ranked[c][0][1].value for c in mine])
            sentences.append(f"In {cells_text(mine, cells, scores.order)}, `{method}` alone is ranked ({values}).")
    return sentences


def _highest_without_intervals(ranked: dict[Cell, list[tuple[str, Estimate]]], methods: Sequence[str]) -> list[str]:
    highest: dict[str, list[Cell]] = defaultdict(list)
    for cell, found in ranked.items():
        if found:
            highest[found[0][0]].append(cell)
    parts = [f"`{m}` in {cells_text(found, list(ranked), methods)}" for m, found in highest.items()]
    unclear = "the scores carry no intervals, so no method can be called better."
    return [f"{unclear} The highest value belongs to {listed(parts)}."]


def _against_classical(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """One sentence per learned method: how it stands against those without a network, or the best of many."""
    rivals = [role.name for role in data.methods if not role.learned and role.name in scores.methods()]
    groups = [[rival] for rival in rivals] if len(rivals) <= MAX_NAMED_RIVALS else [rivals]
    sentences = []
    for method in (role.name for role in data.methods if role.learned):
        stands = [_stand(scores, cells, method, group, brief=len(groups) > 1) for group in groups]
        if any(stands):
            sentences.append(f"`{method}` {'; '.join(filter(None, stands))}.")
    return sentences


def _stand(scores: Scores, cells: Sequence[Cell], method: str, rivals: Sequence[str], *, brief: bool) -> str:
    """Better, worse or indistinguishable in how many cells, and the extremes of the difference; empty if never met.

    Of several rivals the best one of each cell counts.
    """
    pairs = []
    for cell in cells:
        ranked = [name for name, _ in rank(scores, cell)]
        rival = next((name for name in ranked if name in rivals), None)
        apart = scores.difference(*cell, method, rival) if rival is not None and method in ranked else None
        if apart is not None:
            pairs.append((apart.mean, cell, apart))
    if not pairs:
        return ""
    better = sum(apart.above for *_, apart in pairs)
    worse = sum(apart.below for *_, apart in pairs)
    verdicts = [(better, "above"), (worse, "below"), (len(pairs) - better - worse, "not distinguishable")]
    verdict = listed([words if len(pairs) == 1 else f"{words} in {n}" for n, words in verdicts if n])
    highest, lowest = max(pairs, key=lambda p: p[0]), min(pairs, key=lambda p: p[0])
    (_, best, high), (_, _, low) = highest, lowest
    ends = [f"{_signed(d)} ({cell_name(c, scores.order)})" for _, c, d in (lowest, highest)]
    if len(pairs) == 1:
        where, extremes = cell_name(best, scores.order), f"; difference in phase SSIM {_signed(low)}"
    elif brief:
        where, extremes = f"{len(pairs)} cells", f", by {_signed(low)} to {_signed(high)}"
    else:
        where, extremes = f"{len(pairs)} cells", f"; difference in phase SSIM {' to '.join(ends)}"
    whom = quoted(rivals) if len(rivals) == 1 else "the best method without a network"
    return f"against {whom}, {where}: {verdict}{extremes}"


def _signed(apart: Difference) -> str:
    """A difference, with its interval where that is of paired differences."""
    if apart.over in ("objects", "seeds"):
        return f"{signed_text(apart.mean)} [{signed_text(apart.low)}, {signed_text(apart.high)}]"
    return signed_text(apart.mean)


def _margin(margins: Sequence[Difference | None]) -> str:
    """By how much a method leads: the range over cells, of one cell with its interval."""
    known = [apart for apart in margins if apart is not None]
    if len(known) == 1 and known[0].over in ("objects", "seeds"):
        (one,) = known
        return f"{fixed_text(one.mean)} [{fixed_text(one.low)}, {fixed_text(one.high)}]"
    return _range([apart.mean for apart in known])


def _other_alignment(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """What the full alignment would add, at most; none where it stands first or was not made."""
    gains = [
        (beside.value - estimate.value, method, cell)
        for cell in cells
        for method, estimate in rank(scores, cell)
        if scores.alignment(*cell, method) == "scale"
        if (beside := scores.beside(*cell, method, *HEADLINE)) is not None
    ]
    if not gains:
        return []
    most, method, cell = max(gains)
    text = "One complex scale was removed before scoring, as nothing else is free where probe and positions are known"
    if round(most, 2) <= 0:
        return [f"{text}; removing phase ramp and shift as well would add nothing."]
    where = cell_name(cell, scores.order)
    return [
        f"{text}; removing phase ramp and shift as well would add at most {fixed_text(most)} (`{method}`, {where})."
    ]


def _usefulness(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Per view, the lowest dose from which on each method stays above the threshold at every scored dose."""
    threshold = fixed_text(data.useful_phase_ssim)
    clauses = []
    anyone = False
    for view in data.views:
        doses = [d for d, v in cells if v == view]
        by_start: dict[float, list[str]] = defaultdict(list)
        for method in scores.order:
            values = [(d, dict(rank(scores, (d, view))).get(method)) for d in doses]
            found = [(d, e.value) for d, e in values if e]
            if found:
                by_start[_useful_from(found, data.useful_phase_ssim)].append(f"`{method}`")
        if by_start:
            clauses.append(f"{_view_with_overlap(data, view)} {_thresholds(by_start, len(doses))}")
            anyone = anyone or min(by_start) < math.inf
    if not clauses:
        return []
    if not anyone:
        return [f"At the highest scored dose of each view, no method reaches a phase SSIM of {threshold}."]
    return [f"A phase SSIM of {threshold} is held in {'; in '.join(clauses)}."]


def _thresholds(by_start: dict[float, list[str]], n_doses: int) -> str:
    parts = []
    for start, methods in sorted(by_start.items()):
        alone = len(by_start) == 1 and len(methods) > 1
        if math.isinf(start):
            parts.append(f"at no scored dose by {'any method' if alone else listed(methods)}")
        else:
            words = "down to" if n_doses > 1 else "at"
            parts.append(f"{words} {dose_text(start)} by {'every method' if alone else listed(methods)}")
    return ", ".join(parts)


def _useful_from(by_dose: Sequence[tuple[float, float]], threshold: float) -> float:
    """Lowest dose from which on every score reaches the threshold; infinity if the highest dose does not."""
    start = math.inf
    for dose, value in sorted(by_dose, reverse=True):
        if value < threshold:
            break
        start = dose
    return start


def _view_with_overlap(data: ReportData, view: str) -> str:
    overlaps = [o for o in (measured_overlap(c) for c in data.cells if c.view == view) if math.isfinite(o)]
    name = view_name(view, data.names)
    return f"{name} (measured overlap {fixed_text(statistics.median(overlaps))})" if overlaps else name


def _range(values: Sequence[float]) -> str:
    low, high = fixed_text(min(values)), fixed_text(max(values))
    return low if low == high else f"{low} to {high}"
