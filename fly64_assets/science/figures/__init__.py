"""Figures as PNG bytes: previews for the catalog, and the comparison of a cell. No pyplot, no files.

Charts of the report are drawn as SVG in ``report``; which colour and marker a method has is said by ``palette``.
"""

from fly64_assets.science.figures.comparison import ComparisonPanels, comparison_figure
from fly64_assets.science.figures.previews import (
    contact_sheet,
    dataset_preview,
    loss_curve,
    reconstruction_preview,
    scan_preview,
    view_preview,
)

__all__ = [
    "ComparisonPanels",
    "comparison_figure",
    "contact_sheet",
    "dataset_preview",
    "loss_curve",
    "reconstruction_preview",
    "scan_preview",
    "view_preview",
]
