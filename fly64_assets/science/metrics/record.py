"""What a metric is: a plain function, wrapped in one frozen record.

A record says what is compared, in which unit, whether lower or higher is better, and how the number is shown. It is
registered under the entry-point group ``fly64_assets.metrics``, the shipped ones (:mod:`.shipped`) like anybody
else's, and is then scored for every method of every study::

    def phase_gradient_error(image, truth, mask):
        step = np.angle(image[:, 1:] * image[:, :-1].conj() * (truth[:, 1:] * truth[:, :-1].conj()).conj())
        return np.abs(step[mask[:, 1:] & mask[:, :-1]]).mean()


    PHASE_GRADIENT_ERROR = Metric(
        name="phase_gradient_error",
        part="phase",
        unit="rad/px",
        direction="lower",
        label="phase gradient error",
        digits=3,
        meaning="mean error of the phase step between neighbouring columns",
        compute=phase_gradient_error,
    )
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fly64_assets.science.metrics.cell_scores import ImagePair
from fly64_assets.science.registry import Registry

Part = Literal["", "amplitude", "phase", "complex"]
"""What of the complex image a score is about; empty where that does not apply."""

Direction = Literal["higher", "lower", "zero"]
"""Which values are better: higher ones, lower ones, or those nearer to zero."""

Needs = Literal["images", "rings", "counts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerBlock:
    """A score as a function of sums over blocks of the object, from which its interval is bootstrapped.

    Metrics with the same ``sums`` share them: they are computed once.

    Attributes:
        sums: ``(pair, blocks)`` to ``(number of blocks, k)`` sums over the pixels of each block; ``blocks``
            numbers the block of each pixel from 0.
        score: ``(totals, pair)`` to scores: totals ``(..., k)`` are sums over blocks, scores have shape ``(...)``.
    """

    sums: Callable[[ImagePair, np.ndarray], np.ndarray]
    score: Callable[[np.ndarray, ImagePair], np.ndarray]


def says_nothing(value: float) -> str:
    """The default remark."""
    del value
    return ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One score of a reconstruction.

    Attributes:
        name: as it is registered, as its column in wide tables is called, and as messages call it.
        part: what of the complex image it is about.
        unit: of its values; empty: a pure number.
        direction: which values are better.
        label: heading in tables and at axes, without the unit.
        digits: decimals that are shown.
        meaning: one line; no full stop.
        needs: what ``compute`` is given.

            - images: ``(image, truth, mask)``, the aligned image and the truth, complex ``(h, w)``, and which pixels
              are scored; returns a number.
            - rings: ``(frequency, correlation)`` of the Fourier ring correlation; returns a number. The interval is
              bootstrapped over Fourier pixels.
            - counts: ``(nll, nll_of_truth)`` in nats, ``(patterns,)``, before any alignment; returns a number per
              pattern. The score is their mean, with its normal interval.
        compute: the function; may be left out where ``per_block`` gives the score.
        per_block: for images: the same score from sums over blocks; without it there is no interval.
        score: what the column ``metric`` of the score table says, beside ``part``; empty: the name.
        low: smallest value that is possible.
        high: largest value that is possible.
        remark: what the row of a value, which may be NaN, has to say; empty for most.

    Raises:
        ValueError: the record contradicts itself.
    """

    name: str
    part: Part = ""
    unit: str = ""
    direction: Direction
    label: str
    digits: int
    meaning: str
    needs: Needs = "images"
    compute: Callable[..., Any] | None = None
    per_block: PerBlock | None = None
    score: str = ""
    low: float = -math.inf
    high: float = math.inf
    remark: Callable[[float], str] = says_nothing

    def __post_init__(self) -> None:
        """Refuse a record that cannot be scored."""
        if self.compute is None and self.per_block is None:
            message = f"metric {self.name!r}: give compute, or per_block"
            raise ValueError(message)
        if self.needs != "images" and (self.compute is None or self.per_block is not None):
            message = f"metric {self.name!r} needs {self.needs}: give compute, and no per_block, which is of images"
            raise ValueError(message)
        if not self.low < self.high:
            message = f"metric {self.name!r}: low {self.low:g} must lie below high {self.high:g}"
            raise ValueError(message)

    @property
    def key(self) -> tuple[str, str]:
        """Its rows in the score table: the columns ``metric`` and ``part``."""
        return self.score or self.name, self.part


METRICS = Registry("fly64_assets.metrics", "metric", Metric)
"""Every metric that is installed."""


def scored_metrics(others: tuple[str, ...] = ()) -> tuple[Metric, ...]:
    """The records of the shipped metrics and of the named ones of other packages, by name.

    Raises:
        RegistryError: an unknown name, or a record that cannot be imported.
        ValueError: two of them claim the same rows.
    """
    names = {name for name in METRICS.names() if METRICS.shipped(name)} | set(others)
    metrics = tuple(METRICS.get(name) for name in sorted(names))
    require_distinct(metrics)
    return metrics


def require_distinct(metrics: tuple[Metric, ...]) -> None:
    """Refuse metrics that would write the same rows.

    Raises:
        ValueError: names them.
    """
    claims = Counter(metric.key for metric in metrics)
    for key, count in claims.items():
        if count > 1:
            names = ", ".join(metric.name for metric in metrics if metric.key == key)
            message = f"the metrics {names} all write rows with metric {key[0]!r} and part {key[1]!r}: rename one"
            raise ValueError(message)
