"""What a reader of the answer has to keep in mind, as far as the table shows it."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from fly64_assets.science.report.charts import cell_fluence
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.ranking import Cell, cells_text, rank, view_name
from fly64_assets.science.report.roles import favoured, quoted, unequal_training
from fly64_assets.science.report.scores import WORSE_THAN_FLAT, Scores
from fly64_assets.science.report.wording import dose_text, number_text


def caveats(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Sentences, each of them written only if the table gives cause for it.

    Args:
        data: the study.
        scores: its scores.
        cells: the scored cells.

    Returns:
        Sentences with method names in backticks; most weighty first.
    """
    if not cells:
        return [*_missing_cells(data), *_diverged(scores, [(c.dose, c.view) for c in data.all_cells()])]
    found = [*_missing_cells(data), *_reference(data), *_fluence(data, scores), *_uncertainty(data, scores, cells)]
    found += [
        *_diverged(scores, cells),
        *_fewer_methods(scores, cells),
        *_unscored(scores, cells),
        *_registration(scores, cells),
        *_fewer_objects(scores, cells),
        *_unequal_alignment(scores, cells),
        *_unchanged(data, scores, cells),
        *_no_better_than_flat(scores, cells),
        *_worse_than_flat(scores, cells),
    ]
    found += [*_noise_fitted(scores, cells), *unequal_training(data, scores), *_below_bound(scores, cells)]
    return found


def _missing_cells(data: ReportData) -> list[str]:
    by_status: dict[str, list[Cell]] = defaultdict(list)
    everything = [(cell.dose, cell.view) for cell in data.all_cells()]
    for cell in data.all_cells():
        if cell.status != "done":
            by_status[cell.status].append((cell.dose, cell.view))
    verb = {"skipped": "skipped", "failed": "failed", "missing": "not run yet"}
    parts = [
        f"{verb[status]}: {cells_text(found, everything, data.names)}" for status, found in sorted(by_status.items())
    ]
    return [f"Not in the comparison ({'; '.join(parts)}). The reasons stand under Methods and cells."] if parts else []


def _reference(data: ReportData) -> list[str]:
    if not data.is_reference:
        return []
    text = (
        "The object is not the truth: it was reconstructed from the full-dose measurement. Scores say how near a "
        "method comes to that reference"
    )
    names = favoured(data)
    if not names:
        return [f"{text}."]
    verb = "it repeats" if len(names) == 1 else "they repeat"
    return [f"{text}, which favours {quoted(names)}, as {verb} the reference's own errors."]


def _fluence(data: ReportData, scores: Scores) -> list[str]:
    """How far views differ in photons per object pixel at one dose."""
    for dose in sorted(data.doses):
        known = [(cell_fluence(data, scores, dose, v), v) for v in data.views]
        known = sorted((f, v) for f, v in known if f > 0)
        if len(known) > 1 and known[-1][0] > 1.2 * known[0][0]:
            (low, poorest), (high, richest) = known[0], known[-1]
            return [
                f"At equal dose per pattern the views differ in fluence: at {dose_text(dose)}, "
                f"{view_name(richest, data.names)} puts {number_text(high, 2)} photons on an object pixel, "
                f"{view_name(poorest, data.names)} {number_text(low, 2)}. "
                "A comparison of views at equal fluence stands under Fluence."
            ]
    return []


def _uncertainty(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    found = [e for c in cells for _, e in rank(scores, c)]
    kinds = {e.interval for e in found}
    if kinds == {"objects"}:
        n = max(e.n_objects for e in found)
        return [
            f"Intervals are 95 % t-intervals over {n} objects, with one noise realisation each. A method's own "
            "interval says how much objects vary; methods are compared by their paired differences."
        ]
    if kinds == {"seeds"}:
        n = min(e.n_seeds for e in found)
        text = (
            f"Intervals are the range over {n} or more seeds"
            if n < len(data.seeds)
            else f"Intervals are the range over {n} seeds"
        )
        return [
            f"{text} (noise, thinning and initialisation differ, the object does not); methods are compared by their "
            "paired differences. Another object may decide otherwise."
        ]
    if kinds == {"bootstrap"}:
        return [
            "With a single object and seed, intervals are a block bootstrap over the object: they say how much scores "
            "vary from place to place, and leave out how much a result changes with another object, another noise "
            "realisation or another initialisation."
        ]
    if kinds == {"none"}:
        return ["The scores carry no intervals (one seed, no bootstrap): no difference can be called real."]
    return ["Some scores have no interval or another kind of interval than the rest: compare those with care."]


def _diverged(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Methods without a result, because their iteration ended nowhere; cells with the same note together."""
    by_note: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        for method in scores.order:
            note = scores.diverged(*cell, method)
            if note:
                by_note[method, note].append(cell)
    sentences = []
    for (method, note), found in by_note.items():
        how = note.removeprefix("diverged").lstrip(":, ").rstrip(".")
        where = cells_text(found, cells, scores.order)
        reason = f" ({how})" if how else ""
        sentences.append(f"`{method}` diverged in {where}{reason}: not scored, not ranked and not in the charts.")
    return sentences


def _fewer_methods(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Cells in which not every method of the study was scored, those apart that stand with a reason elsewhere."""
    everywhere = scores.methods()
    by_methods: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Cell]] = defaultdict(list)
    for cell in cells:
        scored = scores.methods(*cell)
        absent = [m for m in everywhere if m not in scored]
        absent = [m for m in absent if not (scores.unscored(*cell, m) or scores.diverged(*cell, m))]
        by_methods[tuple(scored), tuple(absent)].append(cell)
    sentences = []
    for (scored, absent), found in by_methods.items():
        where = cells_text(found, cells, scores.order)
        if absent and len(scored) <= len(absent):
            sentences.append(f"In {where}, only {quoted(scored)} {_was(scored)} scored.")
        elif absent:
            sentences.append(f"In {where}, {quoted(absent)} {_was(absent)} not scored.")
    return sentences


def _fewer_objects(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Methods that were run on fewer objects than others in a cell."""

    def fewer(cell: Cell, method: str) -> bool:
        estimate, ranked = scores.get(*cell, method, "ssim", "phase"), [e for _, e in rank(scores, cell)]
        return estimate is not None and any(estimate.n_objects < other.n_objects for other in ranked)

    found = _methods_and_cells(fewer, scores, cells)
    return [f"Run on fewer objects than the others, and so not ranked: {found}."] if found else []


def _unequal_alignment(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Methods of which more was removed before scoring than of others in the same cell."""

    def forgiven(cell: Cell, method: str) -> bool:
        mine = {name: scores.alignment(*cell, name) for name, _ in rank(scores, cell)}
        return mine.get(method) == "full" and "scale" in mine.values()

    found = _methods_and_cells(forgiven, scores, cells)
    text = "Probe or positions are estimates of the method's own, so that phase ramp and shift were removed as well"
    return [f"{text}: {found}. Of the others only a complex scale was."] if found else []


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _unscored(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    by_reason: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        for method in scores.order:
            reason = scores.unscored(*cell, method)
            if reason:
                by_reason[method, reason].append(cell)
    return [
        f"No score for `{m}` in {cells_text(found, cells, scores.order)}: {reason}."
        for (m, reason), found in by_reason.items()
    ]


def _noise_fitted(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    def fitted(cell: Cell, method: str) -> bool:
        excess = scores.get(*cell, method, "excess_nll")
        return excess is not None and (excess.high if math.isfinite(excess.high) else excess.value) < 0

    found = _methods_and_cells(fitted, scores, cells)
    return [f"Noise was fitted by {found}: the counts are explained better than by the object itself."] if found else []


def _unchanged(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Cells in which a method scores exactly as the one whose result it starts from."""

    def same(cell: Cell, names: tuple[str, str], metric: str) -> bool:
        later, earlier = (scores.get(*cell, m, metric, "phase") for m in names)
        return later is not None and earlier is not None and math.isclose(later.value, earlier.value, rel_tol=1e-6)

    sentences = []
    for role in data.methods:
        if role.starts_from is None:
            continue
        names = role.name, role.starts_from
        found = [cell for cell in cells if same(cell, names, "ssim") and same(cell, names, "pearson")]
        if found:
            where = cells_text(found, cells, scores.order)
            sentences.append(f"`{role.name}` is `{role.starts_from}` unchanged in {where}: it scores the same.")
    return sentences


def _no_better_than_flat(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    def no_better(cell: Cell, method: str) -> bool:
        flat, estimate = scores.get(*cell, "flat", "ssim", "phase"), dict(rank(scores, cell)).get(method)
        return flat is not None and estimate is not None and estimate.value <= flat.value

    found = _methods_and_cells(no_better, scores, cells)
    return [f"No higher phase SSIM than an empty object: {found}."] if found else []


def _worse_than_flat(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    found = _methods_and_cells(lambda cell, method: scores.worse_than_flat(*cell, method), scores, cells)
    text = WORSE_THAN_FLAT[0].upper() + WORSE_THAN_FLAT[1:]
    return [f"{text} (‡ in the table): {found}."] if found else []


def _registration(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    def failed(cell: Cell, method: str) -> bool:
        estimate = scores.get(*cell, method, "ssim", "phase")
        return estimate is not None and not estimate.registered

    found = _methods_and_cells(failed, scores, cells)
    return [f"Registration with the object failed: {found}. Hollow in the charts, and not ranked."] if found else []


def _below_bound(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    def below(cell: Cell, method: str) -> bool:
        bound, error = scores.get(*cell, method, "phase_bound_recovered"), scores.get(*cell, method, "rmse", "phase")
        return bound is not None and error is not None and error.value < bound.value

    def above_flat(cell: Cell) -> bool:
        bound, flat = scores.of_cell(*cell, "phase_bound_rms"), scores.get(*cell, "flat", "rmse", "phase")
        return bound is not None and flat is not None and bound.value > flat.value

    sentences = []
    found, hopeless = _methods_and_cells(below, scores, cells), [cell for cell in cells if above_flat(cell)]
    if found:
        sentences.append(
            f"Phase error below the floor of the frequencies that were recovered: {found}. An estimate that knows no "
            "more of the object than its spectrum does not get there: more was known, by a prior or by training."
        )
    if hopeless:
        where = cells_text(hopeless, cells, scores.order)
        sentences.append(
            f"In {where} the bound of all frequencies is above the error of a flat object: an unbiased "
            "estimate would be worse than none there, and what is gained rests on prior knowledge."
        )
    return sentences


def _methods_and_cells(holds: Callable[[Cell, str], bool], scores: Scores, cells: Sequence[Cell]) -> str:
    """The methods for which something holds, each with its cells; empty if it holds for none."""
    by_method = {m: [c for c in cells if holds(c, m)] for m in scores.order}
    parts = [f"`{m}` in {cells_text(found, cells, scores.order)}" for m, found in by_method.items() if found]
    return "; ".join(parts)
