"""The answer in words, computed from the scores alone.

Method names stand in backticks; everything else is plain text. A sentence is written only if the table carries it:
an advantage is claimed only where the intervals are apart, and what was not scored is not mentioned as a result.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fly64_assets.science.records import METHODS
from fly64_assets.science.report.charts import cell_fluence, measured_overlap
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.scores import Estimate, Scores
from fly64_assets.science.report.wording import counted, dose_text, fixed_text, listed, number_text

MAX_CELLS_NAMED = 4
Cell = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the table says.

    Attributes:
        paragraph: sentences, in order.
        caveats: what to keep in mind, one sentence or two each.
    """

    paragraph: tuple[str, ...]
    caveats: tuple[str, ...]

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
    scores = scores or Scores(data.metrics)
    cells = _scored_cells(data, scores)
    if not cells:
        return Answer((_nothing_scored(data, scores),), tuple(_missing_cells(data)))
    paragraph = [_scope(data, scores, cells), *_leaders(scores, cells), *_against_iterative(scores, cells)]
    paragraph += [*_usefulness(data, scores, cells), *_cost(scores, cells)]
    caveats = [*_missing_cells(data), *_reference(data), *_fluence(data, scores), *_uncertainty(data, scores, cells)]
    caveats += [*_noise_fitted(scores, cells), *_no_better_than_flat(scores, cells), *_registration(scores, cells)]
    caveats += [*_supervision(scores, cells), *_below_bound(scores, cells)]
    return Answer(tuple(paragraph), tuple(caveats))


def cell_name(cell: Cell) -> str:
    """A cell in prose.

    >>> cell_name((1000.0, "dense"))
    'dense at 10³'
    """
    return f"{cell[1]} at {dose_text(cell[0])}"


def rank(scores: Scores, cell: Cell, split: str = "test") -> list[tuple[str, Estimate]]:
    """Registered methods of a cell by phase SSIM, best first; ties in the fixed order of methods."""
    found = [(m, scores.get(*cell, m, "ssim", "phase", split)) for m in METHODS]
    usable = [(m, e) for m, e in found if e is not None and e.registered]
    return sorted(usable, key=lambda pair: (-pair[1].value, METHODS.index(pair[0])))


def leaders(scores: Scores, cell: Cell, split: str = "test") -> list[str]:
    """The best method of a cell and those that cannot be told apart from it; empty if fewer than two were scored."""
    ranked = rank(scores, cell, split)
    if len(ranked) < 2:
        return []
    return [m for m, e in ranked if m == ranked[0][0] or not ranked[0][1].clearly_above(e)]


def _scored_cells(data: ReportData, scores: Scores) -> list[Cell]:
    present = set(scores.cells())
    return [(d, v) for v in data.views for d in sorted(data.doses) if (d, v) in present]


def _nothing_scored(data: ReportData, scores: Scores) -> str:
    elsewhere = " Scores of the training split exist, but they are no answer." if scores.cells("train") else ""
    total = len(data.all_cells())
    return f"No answer yet: none of the {counted(total, 'cell')} has a phase SSIM on the test split.{elsewhere}"


def _scope(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> str:
    judged = "the pty-chi reference" if data.object_origin == "pty_chi_reference" else "the true object"
    total = len(data.all_cells())
    extent = f"{counted(len(cells), 'cell')}" if len(cells) == total else f"{len(cells)} of {counted(total, 'cell')}"
    flat = [e.value for e in (scores.get(*c, "flat", "ssim", "phase") for c in cells) if e]
    scale = "1 is a perfect result"
    if flat:
        low, high = fixed_text(min(flat)), fixed_text(max(flat))
        scale += f", an empty object scores {low}" + (f" to {high}" if high != low else "")
    return f"Judged by the SSIM of the phase with {judged} on the test split ({scale}), in {extent}:"


def _leaders(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    wins: dict[str, list[str]] = defaultdict(list)
    ties: dict[tuple[str, ...], list[str]] = defaultdict(list)
    alone: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        ranked, first = rank(scores, cell), leaders(scores, cell)
        if len(first) == 1:
            second, margin = ranked[1][0], ranked[0][1].value - ranked[1][1].value
            values = f"{fixed_text(ranked[0][1].value)} against {fixed_text(ranked[1][1].value)} for `{second}`"
            wins[first[0]].append(f"{cell_name(cell)} ({values}, +{fixed_text(margin)})")
        elif first:
            ties[tuple(first)].append(f"{cell_name(cell)} ({fixed_text(ranked[0][1].value)} at best)")
        elif ranked:
            alone[ranked[0][0]].append(cell_name(cell))
    sentences = [
        f"`{m}` scores highest in {counted(len(found), 'cell')}: {listed(found, limit=MAX_CELLS_NAMED)}."
        for m, found in sorted(wins.items(), key=lambda item: -len(item[1]))
    ]
    for methods, found in sorted(ties.items(), key=lambda item: -len(item[1])):
        names = listed([f"`{m}`" for m in methods])
        sentences.append(f"{names} are not distinguishable in {listed(found, limit=MAX_CELLS_NAMED)}.")
    sentences += [f"Only `{m}` was scored in {listed(found, limit=MAX_CELLS_NAMED)}." for m, found in alone.items()]
    return sentences


def _against_iterative(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """One sentence per network: better, worse or indistinguishable against pty_chi, and the extremes."""
    sentences = []
    for method in METHODS[:-1]:
        pairs = []
        for cell in cells:
            found = dict(rank(scores, cell))
            if method in found and "pty_chi" in found:
                pairs.append((found[method].value - found["pty_chi"].value, cell, found[method], found["pty_chi"]))
        if len(pairs) < 2:
            continue
        better = sum(mine.clearly_above(other) for _, _, mine, other in pairs)
        worse = sum(other.clearly_above(mine) for _, _, mine, other in pairs)
        verdict = f"above in {better}, below in {worse}, not distinguishable in {len(pairs) - better - worse}"
        (high, best, *_), (low, worst, *_) = max(pairs, key=lambda p: p[0]), min(pairs, key=lambda p: p[0])
        extremes = f"from {_signed(low)} ({cell_name(worst)}) to {_signed(high)} ({cell_name(best)})"
        sentences.append(f"Against `pty_chi`, `{method}` is {verdict} of {len(pairs)} cells, {extremes}.")
    return sentences


def _signed(value: float) -> str:
    text = fixed_text(value)
    return text if text.startswith("−") or text == "0.00" else f"+{text}"


def _usefulness(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Per view, the lowest dose from which on each method stays above the threshold at every scored dose."""
    clauses = []
    for view in data.views:
        doses = [d for d, v in cells if v == view]
        by_start: dict[float, list[str]] = defaultdict(list)
        for method in METHODS:
            values = [(d, dict(rank(scores, (d, view))).get(method)) for d in doses]
            found = [(d, e.value) for d, e in values if e]
            if found:
                by_start[_useful_from(found, data.useful_phase_ssim)].append(f"`{method}`")
        if by_start:
            parts = [
                f"{listed(methods)} {'at no scored dose' if math.isinf(start) else f'from {dose_text(start)}'}"
                for start, methods in sorted(by_start.items())
            ]
            clauses.append(f"{_view_with_overlap(data, view)}: {', '.join(parts)}")
    if not clauses:
        return []
    threshold = fixed_text(data.useful_phase_ssim)
    return [
        f"Phase SSIM reaches {threshold} and stays there with rising dose (photons per pattern) in {'; '.join(clauses)}."
    ]


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
    return f"{view} (measured overlap {fixed_text(statistics.median(overlaps))})" if overlaps else view


def _cost(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Median CPU time to reconstruct, over the cells in which every method was timed; and when training pays off."""
    times = {m: {c: _positive(scores.get(*c, m, "cpu_seconds_reconstruct")) for c in cells} for m in METHODS}
    timed = {m: {c: t for c, t in found.items() if t} for m, found in times.items()}
    timed = {m: found for m, found in timed.items() if found}
    common = [c for c in cells if all(c in found for found in timed.values())]
    if not timed or not common:
        return []
    medians = {m: statistics.median([found[c] for c in common]) for m, found in timed.items()}
    where = "" if len(common) == len(cells) else f" (over the {counted(len(common), 'cell')} in which all were timed)"
    parts = [f"{number_text(t, 2)} with `{m}`" for m, t in sorted(medians.items(), key=lambda item: item[1])]
    sentence = f"A reconstruction of the test split takes a median of {listed(parts)} CPU-seconds{where}"
    return [f"{sentence}{_payback(scores, common, medians)}."]


def _payback(scores: Scores, cells: Sequence[Cell], medians: dict[str, float]) -> str:
    """After how many reconstructions a network has cost no more than pty_chi, training included."""
    parts = []
    for method in METHODS[:-1]:
        training = [t for t in (_positive(scores.get(*c, method, "cpu_seconds_train")) for c in cells) if t]
        saved = medians.get("pty_chi", 0.0) - medians.get(method, math.inf)
        if training and saved > 0:
            n = max(1, math.ceil(statistics.median(training) / saved))
            parts.append(f"`{method}` {number_text(statistics.median(training), 2)} ({counted(n, 'reconstruction')})")
    if not parts:
        return ""
    return f"; training takes {listed(parts)}, in brackets how many reconstructions repay it against `pty_chi`"


def _positive(estimate: Estimate | None) -> float:
    return estimate.value if estimate and estimate.value > 0 else 0.0


def _missing_cells(data: ReportData) -> list[str]:
    by_status: dict[str, list[str]] = defaultdict(list)
    for cell in data.all_cells():
        if cell.status != "done":
            by_status[cell.status].append(cell_name((cell.dose, cell.view)))
    verb = {"skipped": "skipped", "failed": "failed", "missing": "not run yet"}
    parts = [
        f"{len(found)} {verb[s]} ({listed(found, limit=MAX_CELLS_NAMED)})" for s, found in sorted(by_status.items())
    ]
    return [f"Not in the comparison: {listed(parts)}. The reasons stand under Cells."] if parts else []


def _reference(data: ReportData) -> list[str]:
    if data.object_origin != "pty_chi_reference":
        return []
    return [
        "The object is not the truth: it was reconstructed from the full-dose measurement by pty-chi. Scores say how "
        "near a method comes to that reference, which favours `pty_chi`, as it repeats the reference's own errors."
    ]


def _fluence(data: ReportData, scores: Scores) -> list[str]:
    """How far views differ in photons per object pixel at one dose."""
    for dose in sorted(data.doses):
        known = [(cell_fluence(data, scores, dose, v), v) for v in data.views]
        known = sorted((f, v) for f, v in known if f > 0)
        if len(known) > 1 and known[-1][0] > 1.2 * known[0][0]:
            (low, poorest), (high, richest) = known[0], known[-1]
            return [
                f"At equal dose per pattern the views differ in fluence: at {dose_text(dose)}, {richest} puts "
                f"{number_text(high, 2)} photons on an object pixel, {poorest} {number_text(low, 2)}. "
                "A comparison of views at equal fluence stands under Fluence."
            ]
    return []


def _uncertainty(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    found = [e for c in cells for _, e in rank(scores, c)]
    kinds = {e.interval for e in found}
    if kinds == {"seeds"}:
        n = min(e.n_seeds for e in found)
        text = (
            f"Intervals are the range over {n} or more seeds"
            if n < len(data.seeds)
            else f"Intervals are the range over {n} seeds"
        )
        return [f"{text} (noise, thinning and initialisation differ, the object does not)."]
    if kinds == {"bootstrap"}:
        return [
            "With a single seed, intervals are a block bootstrap over the object: they leave out how much a result "
            "changes with another noise realisation or another initialisation."
        ]
    if kinds == {"none"}:
        return ["The scores carry no intervals (one seed, no bootstrap): no difference can be called real."]
    return ["Some scores have no interval or another kind of interval than the rest: compare those with care."]


def _noise_fitted(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    by_method: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        for method in METHODS:
            excess = scores.get(*cell, method, "excess_nll")
            if excess and (excess.high if math.isfinite(excess.high) else excess.value) < 0:
                by_method[method].append(cell_name(cell))
    return [
        f"`{m}` fits noise in {listed(found, limit=MAX_CELLS_NAMED)}: it explains the counts better than the object itself does."
        for m, found in by_method.items()
    ]


def _no_better_than_flat(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    by_method: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        flat = scores.get(*cell, "flat", "ssim", "phase")
        for method, estimate in rank(scores, cell):
            if flat and not estimate.value > flat.value:
                by_method[method].append(cell_name(cell))
    return [
        f"`{m}` scores no higher than an empty object in {listed(found, limit=MAX_CELLS_NAMED)}."
        for m, found in by_method.items()
    ]


def _registration(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    failed = []
    for cell in cells:
        found = [(m, scores.get(*cell, m, "ssim", "phase")) for m in METHODS]
        failed += [f"`{m}` in {cell_name(cell)}" for m, e in found if e and not e.registered]
    if not failed:
        return []
    return [
        f"Registration with the object failed for {listed(failed, limit=6)}: scored, marked hollow, and left unranked."
    ]


def _supervision(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    if not any(scores.get(*c, "baseline", "ssim", "phase") for c in cells):
        return []
    counts = {
        m: [e.value for e in (scores.get(*c, m, "patterns_trained_on") for c in cells) if e and e.value > 0]
        for m in ("baseline", "pinn")
    }
    numbers = ""
    if counts["baseline"] and counts["pinn"]:
        mine, other = statistics.median(counts["baseline"]), statistics.median(counts["pinn"])
        numbers = f" (a median of {mine:,.0f} patterns against {other:,.0f} for `pinn`)"
    return [
        f"`baseline` was trained on the whole split{numbers} and with the object as its target; `pinn` sees counts only."
    ]


def _below_bound(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    by_method: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        bound = scores.of_cell(*cell, "phase_bound_rms")
        for method in METHODS:
            error = scores.get(*cell, method, "rmse", "phase")
            if bound and error and error.value < bound.value:
                by_method[method].append(cell_name(cell))
    return [
        f"The phase error of `{m}` lies below the Cramér–Rao bound in {listed(found, limit=MAX_CELLS_NAMED)}. The bound "
        "holds for unbiased estimates; a method that smooths or has learned a prior is biased and may pass it."
        for m, found in by_method.items()
    ]
