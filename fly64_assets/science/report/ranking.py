"""Which method is ahead in a cell, and cells as prose."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from fly64_assets.science.report.scores import Estimate, Scores
from fly64_assets.science.report.wording import dose_text, listed

Cell = tuple[float, str]
"""Dose and view."""


def cell_name(cell: Cell, methods: Collection[str] = ()) -> str:
    """A cell in prose.

    >>> cell_name((1000.0, "dense"))
    'dense at 10³'
    """
    return f"{view_name(cell[1], methods)} at {dose_text(cell[0])}"


def view_name(view: str, methods: Collection[str] = ()) -> str:
    """A view in prose; one that is called as a method is, is told from it.

    >>> view_name("dense", ["mine"]), view_name("mine", ["mine"])
    ('dense', 'view mine')
    """
    return f"view {view}" if view in methods else view


def cells_text(cells: Sequence[Cell], among: Sequence[Cell], methods: Collection[str] = ()) -> str:
    """Cells in prose, by view; a view of which all cells in ``among`` are meant is named once.

    >>> among = [(1e3, "dense"), (1e4, "dense"), (1e3, "sparse"), (1e4, "sparse")]
    >>> cells_text([(1e3, "dense"), (1e4, "dense"), (1e4, "sparse")], among)
    'dense at every dose and sparse at 10⁴'
    >>> cells_text([(1e3, "dense"), (1e3, "sparse")], among)
    'every view at 10³'
    >>> cells_text(among, among)
    'every cell'
    """
    if len(among) > 1 and set(cells) == set(among):
        return "every cell"
    doses = sorted({dose for dose, _ in cells})
    if set(cells) == {c for c in among if c[0] in doses} and all(sum(c[0] == d for c in cells) > 1 for d in doses):
        return f"every view at {listed([dose_text(d) for d in doses], limit=8)}"
    by_view: dict[str, list[float]] = defaultdict(list)
    for dose, view in cells:
        by_view[view].append(dose)
    parts = []
    for view, doses in by_view.items():
        whole = [d for d, v in among if v == view]
        every = len(whole) > 1 and set(doses) == set(whole)
        at = "every dose" if every else listed([dose_text(d) for d in sorted(doses)], limit=8)
        parts.append(f"{view_name(view, methods)} at {at}")
    return listed(parts, limit=8)


def rank(scores: Scores, cell: Cell, split: str = "test") -> list[tuple[str, Estimate]]:
    """Registered methods of a cell by phase SSIM, best first; ties in the study's order.

    None that diverged, and none that was run on fewer objects than others, as their means cannot be compared.
    """
    found = [(m, scores.get(*cell, m, "ssim", "phase", split)) for m in scores.order]
    usable = [(m, e) for m, e in found if e is not None and e.registered]
    most = max((e.n_objects for _, e in usable), default=1)
    usable = [(m, e) for m, e in usable if e.n_objects == most]
    return sorted(usable, key=lambda pair: -pair[1].value)


def leaders(scores: Scores, cell: Cell, split: str = "test") -> list[str]:
    """The best method of a cell and those that cannot be told apart from it; empty if fewer than two were scored."""
    ranked = rank(scores, cell, split)
    if len(ranked) < 2:
        return []
    best = ranked[0][0]
    apart = {m for m, _ in ranked[1:] if (d := scores.difference(*cell, best, m, split)) is not None and d.above}
    return [m for m, _ in sorted(ranked, key=lambda pair: scores.order.index(pair[0])) if m not in apart]
