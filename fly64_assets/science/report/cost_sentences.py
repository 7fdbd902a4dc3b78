"""What reconstructing and training cost, in words: CPU time, and after how many reconstructions training has paid."""

import math
import statistics
from collections.abc import Sequence

from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.ranking import Cell
from fly64_assets.science.report.roles import quoted
from fly64_assets.science.report.scores import Estimate, Scores
from fly64_assets.science.report.wording import counted, listed, number_text

MAX_NAMED_METHODS = 2
"""Of more methods a range is given."""


def reconstruction_time(scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """Median CPU time per reconstruction, over the cells in which every timed method was timed."""
    medians, common = _median_times(scores, cells)
    if not medians:
        return []
    (fastest, least), *others = sorted(medians.items(), key=lambda item: item[1])
    parts = [f"{number_text(least, 2)} CPU-seconds with `{fastest}`"]
    parts += [f"{number_text(seconds, 2)} with `{method}`" for method, seconds in others]
    where = f" (median of {len(common)} cells)" if len(common) > 1 else ""
    return [f"Reconstructing the test split takes {listed(parts)}{where}."]


def training_time(data: ReportData, scores: Scores, cells: Sequence[Cell]) -> list[str]:
    """What training costs, and after how many reconstructions it has cost no more than a method without a network."""
    medians, common = _median_times(scores, cells)
    training = {role.name: _median_training(scores, common, role.name) for role in data.methods if role.learned}
    training = {method: seconds for method, seconds in training.items() if seconds > 0}
    by_cost: dict[str, list[str]] = {}
    for role in data.methods:
        if role.trains != "nothing" and role.name in training:
            by_cost.setdefault(number_text(training[role.name], 2), []).append(role.name)
    units = [" CPU-seconds", *[""] * len(by_cost)]
    costs = [f"{n}{unit} for {quoted(mine)}" for (n, mine), unit in zip(by_cost.items(), units, strict=False)]
    if not costs:
        return []
    repaid = []
    for rival in (role.name for role in data.methods if not role.learned and role.name in medians):
        saved = {m: medians[rival] - medians[m] for m in training if m in medians}
        after = {m: max(1, math.ceil(training[m] / seconds)) for m, seconds in saved.items() if seconds > 0}
        if after:
            repaid.append(f"in place of `{rival}` after {_repaid_after(after)}")
    sentence = f"Training a bundle takes {listed(costs)}."
    return [f"{sentence} Counting time alone, that pays off {'; '.join(repaid)}." if repaid else sentence]


def _repaid_after(reconstructions: dict[str, int]) -> str:
    """After how many reconstructions each method has paid for its training; of many methods the range."""
    numbers = sorted(reconstructions.values())
    if len(numbers) > MAX_NAMED_METHODS:
        low, high = f"{numbers[0]:,}", f"{numbers[-1]:,}"
        return f"{low} to {high} reconstructions" if low != high else counted(numbers[0], "reconstruction")
    (method, n), *others = reconstructions.items()
    return listed([f"{counted(n, 'reconstruction')} with `{method}`", *(f"{n:,} with `{m}`" for m, n in others)])


def _median_training(scores: Scores, cells: Sequence[Cell], method: str) -> float:
    found = [t for t in (_positive(scores.get(*c, method, "cpu_seconds_train")) for c in cells) if t]
    return statistics.median(found) if found else 0.0


def _median_times(scores: Scores, cells: Sequence[Cell]) -> tuple[dict[str, float], list[Cell]]:
    times = {m: {c: _positive(scores.get(*c, m, "cpu_seconds_reconstruct")) for c in cells} for m in scores.order}
    timed = {m: {c: t for c, t in found.items() if t} for m, found in times.items()}
    timed = {m: found for m, found in timed.items() if found}
    common = [c for c in cells if timed and all(c in found for found in timed.values())]
    return ({m: statistics.median([found[c] for c in common]) for m, found in timed.items()} if common else {}), common


def _positive(estimate: Estimate | None) -> float:
    return estimate.value if estimate and estimate.value > 0 else 0.0
