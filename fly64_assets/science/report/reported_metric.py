"""Which scores a report shows, and how: the one place that table columns and charts come from."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "zero"]

_DIRECTIONS: dict[Direction, str] = {
    "higher": "Higher is better",
    "lower": "Lower is better",
    "zero": "Nearer to 0 is better",
}


@dataclass(frozen=True, slots=True)
class ReportedMetric:
    """A score as the report shows it: a column of the tables and, if charted, a chart against dose.

    Attributes:
        name: metric in the metrics table.
        part: part in the metrics table; None for whichever it has.
        unit: "" for a pure number.
        direction: which values are better.
        label: name for readers, without the unit.
        digits: decimals in tables; significant digits of a score that is best at 0, as it spans decades.
        meaning: what to know when reading it, as the end of a sentence without a full stop; may be empty.
        charted: whether it is drawn against dose.
        limits: ends of the chart's axis, widened where values lie outside; None: from the values.
    """

    name: str
    part: str | None
    unit: str
    direction: Direction
    label: str
    digits: int = 3
    meaning: str = ""
    charted: bool = True
    limits: tuple[float, float] | None = None

    @property
    def heading(self) -> str:
        """Label with unit.

        >>> ReportedMetric("psnr", "phase", "dB", "higher", "phase PSNR").heading
        'phase PSNR, dB'
        """
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def better(self) -> str:
        """What a reader should look for.

        >>> ReportedMetric("rmse", "phase", "rad", "lower", "phase RMS error").better
        'Lower is better.'
        >>> ReportedMetric("ssim", "phase", "", "higher", "phase SSIM", meaning="1 is the object itself").better
        'Higher is better; 1 is the object itself.'
        """
        return "; ".join(filter(None, (_DIRECTIONS[self.direction], self.meaning))) + "."


_UNIT_RANGE = (0.0, 1.0)

REPORTED_METRICS = (
    ReportedMetric("ssim", "phase", "", "higher", "phase SSIM", 3, "1 is the object itself", limits=_UNIT_RANGE),
    ReportedMetric(
        "rmse",
        "phase",
        "rad",
        "lower",
        "phase RMS error",
        3,
        "the dashed line is the Cramér–Rao bound without a prior",
    ),
    ReportedMetric("phase_bound_recovered", "phase", "rad", "lower", "phase floor", charted=False),
    ReportedMetric("psnr", "phase", "dB", "higher", "phase PSNR", 1),
    ReportedMetric(
        "pearson", "phase", "", "higher", "phase Pearson r", 3, "a flat result scores 0", limits=_UNIT_RANGE
    ),
    ReportedMetric("ms_ssim", "phase", "", "higher", "phase MS-SSIM", charted=False),
    ReportedMetric("ssim", "amplitude", "", "higher", "amplitude SSIM", charted=False),
    ReportedMetric("pearson", "amplitude", "", "higher", "amplitude r", charted=False),
    ReportedMetric("nrmse", "complex", "", "lower", "complex NRMSE", charted=False),
    ReportedMetric(
        "frc50", "complex", "cycles/px", "higher", "FRC50", 3, "detail kept at half correlation, blind to blur"
    ),
    ReportedMetric(
        "excess_nll", "", "nats per pattern", "zero", "excess NLL", 3, "above, data unexplained; below, noise fitted"
    ),
)
"""What is shown unless the caller says otherwise: the scores of the package's own metrics."""
