"""What a report is made from: everything in memory, nothing looked up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from fly64_assets.science.options import ViewOptions
from fly64_assets.science.palette import MethodStyle, method_styles
from fly64_assets.science.records import MethodRole, ObjectOrigin
from fly64_assets.science.report.reported_metric import REPORTED_METRICS, ReportedMetric

CellStatus = Literal["done", "skipped", "failed", "missing"]


@dataclass(frozen=True, slots=True, eq=False)
class CellRecord:
    """One dose of one view: what became of it.

    Attributes:
        dose: requested photons per pattern.
        view: name of the view.
        status: "done" (scored), "skipped" (recorded skip), "failed" or "missing" (not run yet).
        reason: why it is not done; free text.
        view_summary: per split, the overlap record of the view (see ``views``), as a plain dict.
        figure_png: the cell's comparison figure, or None.
        figure_note: said in place of a missing figure, or under it.
        digests: SHA256 by relative path.
    """

    dose: float
    view: str
    status: CellStatus
    reason: str = ""
    view_summary: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    figure_png: bytes | None = None
    figure_note: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """A study and its results.

    Attributes:
        study_name: short name of the study.
        title: heading of the report.
        question: what was asked, one or more paragraphs of plain text.
        methods: every method of the study, in its order; names in the tables that are not among them are not shown.
        doses: requested photons per pattern.
        views: options of each view by name, in the order to show.
        seeds: study seeds.
        objects: names of the objects, first the one that networks are trained on and pictures are of; empty: one
            object without a name.
        study_hash: hash of the whole study file.
        object_origin: whether scores are against the truth or against a reconstruction (the reference).
        cells: results; a cell of the study that is absent here counts as missing.
        metrics: the metrics table (columns as written by the scoring function) with the rows of the costs; may be
            empty.
        metric_records: what is shown of the metrics table, in this order.
        frc: the FRC curves; may be empty.
        trace: what each method had on its way: dose, view, split, seed, method, step, cpu_seconds and value (phase
            SSIM); of the first seed or of several; None or empty if unknown.
        reference_kind: kind of method that made the reference, if the object is one; "" otherwise.
        scan_png: preview of the scan, or None.
        versions: version by package.
        commands: command lines that reproduce the study.
        settings: further provenance, label to text; a method's own settings stand in its role.
        dose_method: "simulate", or "thin" for thinned measured counts.
        useful_phase_ssim: from which phase SSIM on a reconstruction is called useful.
    """

    study_name: str
    title: str
    question: str
    methods: tuple[MethodRole, ...]
    doses: tuple[float, ...]
    views: Mapping[str, ViewOptions]
    seeds: tuple[int, ...]
    study_hash: str
    object_origin: ObjectOrigin
    cells: tuple[CellRecord, ...]
    metrics: pd.DataFrame
    frc: pd.DataFrame = field(default_factory=pd.DataFrame)
    trace: pd.DataFrame | None = None
    metric_records: tuple[ReportedMetric, ...] = REPORTED_METRICS
    reference_kind: str = ""
    scan_png: bytes | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    dose_method: Literal["simulate", "thin"] = "simulate"
    useful_phase_ssim: float = 0.5
    objects: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods, in the study's order."""
        return tuple(role.name for role in self.methods)

    @property
    def styles(self) -> dict[str, MethodStyle]:
        """How each method is drawn."""
        return method_styles(self.names)

    @property
    def is_reference(self) -> bool:
        """Whether the object was itself reconstructed, so that it is not the truth."""
        return self.object_origin == "reference"

    def of_first_object(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that are of the first object: traces, curves and pictures are of it alone."""
        if not self.objects or "object" not in table.columns:
            return table
        return pd.DataFrame(table[table["object"] == self.objects[0]])

    def all_cells(self) -> list[CellRecord]:
        """Every cell of the study, by view and then by dose; those without a record as missing."""
        known = {(cell.dose, cell.view): cell for cell in self.cells}
        absent = "It has not been run."
        return [
            known.get((dose, view)) or CellRecord(dose, view, "missing", absent)
            for view in self.views
            for dose in sorted(self.doses)
        ]
