"""Whether a result explains its own counts better than a flat object does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.records import Measurement, Reconstruction

Verdict = Literal["explained", "diverged", "worse than flat"]

WORSE_THAN_FLAT_NOTE = "explains the counts less well than a flat object"


@dataclass(frozen=True, slots=True)
class Explanation:
    """How well a result explains its counts; the constant ``log(counts!)`` is left out of the likelihoods.

    Attributes:
        verdict: "diverged": an iterative result that explains the counts less well than a flat object, or whose
            likelihood or final loss is not finite; "worse than flat": the same of a learned result, its loss apart.
        nll_per_photon: negative log-likelihood in nats per measured photon; None: not finite.
        flat_nll_per_photon: the same for an object of ones under the measurement's probe.
        final_loss: the method's own; None: not finite, or it has none.
        reason: why it is not "explained"; empty if it is.
    """

    verdict: Verdict
    nll_per_photon: float | None
    flat_nll_per_photon: float
    final_loss: float | None = None
    reason: str = ""

    @property
    def note(self) -> str:
        """What the rows of the method's scores have to say; empty if all is well."""
        if self.verdict == "diverged":
            return f"diverged: {self.reason}"
        return WORSE_THAN_FLAT_NOTE if self.verdict == "worse than flat" else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Explanation":
        """The inverse of :meth:`to_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**data)


def explain_counts(measurement: Measurement, reconstruction: Reconstruction, *, learned: bool) -> Explanation:
    """Compare the likelihood of the counts under a result with that under a flat object, in one pass.

    Args:
        measurement: the counts that the result was made from.
        reconstruction: the result, with its own probe; its object may hold anything.
        learned: whether a network had a part in it.

    Raises:
        ValueError: the result has another grid than the measurement.
    """
    if reconstruction.object.shape != measurement.object_shape:
        message = (
            f"the result is on a grid of {reconstruction.object.shape}, the measurement {measurement.object_shape}"
        )
        raise ValueError(message)
    flat = Reconstruction(
        object=np.ones(measurement.object_shape, np.complex64),
        probe=measurement.probe,
        positions_xy_px=measurement.positions_xy_px,
        method="flat",
        counts_scale=measurement.counts_scale,
    )
    nll = nll_per_pattern(measurement, {"result": reconstruction, "flat": flat})
    photons = max(_photons(measurement), 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        found, flats = (float(nll[name].sum()) / photons for name in ("result", "flat"))
    loss = reconstruction.loss_values[-1] if reconstruction.loss_values else None
    reason = _reason(found, flats, None if learned else loss)
    verdict: Verdict = "explained" if not reason else "worse than flat" if learned else "diverged"
    return Explanation(verdict, _finite(found), flats, _finite(loss), reason)


def _photons(measurement: Measurement, chunk: int = 256) -> float:
    """All measured photons: the sum over pixels of ``(s * amplitude)**2``."""
    parts = (measurement.counts(slice(k, k + chunk)) for k in range(0, len(measurement.amplitude), chunk))
    return float(sum(part.sum(dtype=np.float64) for part in parts))


def _reason(nll: float, flat_nll: float, loss: float | None) -> str:
    if not np.isfinite(nll):
        return "the likelihood of the counts is not finite"
    if nll > flat_nll:
        return f"{nll:.4g} nats per photon, a flat object {flat_nll:.4g}"
    if loss is not None and not np.isfinite(loss):
        return f"its final loss is {loss}"
    return ""


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
