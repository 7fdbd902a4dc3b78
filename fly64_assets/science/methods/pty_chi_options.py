"""Options of the pty-chi kind, and what each algorithm uses where they leave something open."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fly64_assets.science.options import Options

Algorithm = Literal["LSQML", "rPIE", "ePIE"]
Batching = Literal["compact", "uniform", "random"]


@dataclass(frozen=True)
class Defaults:
    """What an algorithm uses where the options leave it open; None: the algorithm has no such option."""

    batching: Batching
    batch_size: int
    momentum: float | None = None
    alpha: float | None = None


DEFAULTS: dict[Algorithm, Defaults] = {
    "LSQML": Defaults("compact", 128, momentum=0.5),
    "rPIE": Defaults("uniform", 32, alpha=0.7),
    "ePIE": Defaults("uniform", 32, alpha=1.0),
}
"""The defaults of each algorithm, and why.

LSQML solves for the length of a batch's step, and its momentum carries neighbours from one batch to the next. A PIE
adds the full updates of all patches of a batch instead: compact batches of a dense scan overshoot several times over
and diverge, so it takes batches that are spread evenly, and a step that shrinks where patches pile up all the same.
With pty-chi's alpha of 0.1, rPIE fits the noise of dimly lit pixels (at 1e3 photons its phase SSIM fell from 0.16 to
0.09), and ePIE has not arrived after 120 epochs. Chosen on a natural image (scan seed 101), then confirmed on another
object by bench_pty_chi, at 1e3 to 1e5 photons, dense and sparse.
"""


class PtyChiOptions(Options):
    """Iterative reconstruction by pty-chi. The number of epochs is fixed in advance, never chosen by the truth.

    What is None is the algorithm's own default, see :data:`DEFAULTS`.
    """

    algorithm: Algorithm = Field(default="LSQML", description="Least-squares maximum likelihood, or a PIE.")
    epochs: int = Field(default=120, ge=1, le=10_000, description="Passes over the patterns.")
    batch_size: int | None = Field(
        default=None, ge=1, le=65_536, description="Patterns per update. Null: LSQML 128, rPIE and ePIE 32."
    )
    batching: Batching | None = Field(
        default=None,
        description="How patterns are batched: neighbours, spread evenly, or at random (all seeded). "
        "Null: LSQML compact, rPIE and ePIE uniform.",
    )
    momentum: float | None = Field(
        default=None, ge=0, lt=1, description="LSQML: gain of the momentum acceleration. Null: 0.5."
    )
    noise_model: Literal["gaussian", "poisson"] = Field(default="gaussian", description="LSQML only.")
    alpha: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="rPIE: how much dimly lit pixels are held back; ePIE: length of a pattern's update; of the object. "
        "Null: rPIE 0.7, ePIE 1.",
    )
    step_size: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="rPIE and ePIE: factor of the object's update. Null: 1, or less where a batch's patches pile up.",
    )
    refine_probe: bool = Field(default=False, description="False: the probe is known and stays as it is.")
    device: Literal["cpu", "gpu"] = Field(default="cpu", description="gpu: falls back to the CPU where there is none.")
    threads: int = Field(default=1, ge=1, le=64, description="Results are bit-identical only for equal thread counts.")

    @field_validator("algorithm", mode="before")
    @classmethod
    def _offered(cls, algorithm: Any) -> Any:
        if algorithm in ("DM", "Autodiff"):
            message = (
                "DM and Autodiff are not offered: they scored below LSQML wherever they were tried; "
                "use LSQML, rPIE or ePIE"
            )
            raise ValueError(message)
        return algorithm

    @model_validator(mode="after")
    def _nothing_that_is_ignored(self) -> "PtyChiOptions":
        if self.noise_model == "poisson" and self.algorithm != "LSQML":
            message = f"{self.algorithm} has no noise model: leave noise_model at gaussian, or use LSQML"
            raise ValueError(message)
        foreign = ("alpha", "step_size") if self.algorithm == "LSQML" else ("momentum",)
        for name in foreign:
            if getattr(self, name) is not None:
                owners = "rPIE and ePIE" if self.algorithm == "LSQML" else "LSQML"
                message = f"{self.algorithm} has no {name}: leave it out, it belongs to {owners}"
                raise ValueError(message)
        return self

    def resolved(self) -> "PtyChiOptions":
        """The same options with the algorithm's defaults in place of what is None; ``step_size`` needs the scan."""
        defaults = DEFAULTS[self.algorithm]
        fill = {name: value for name, value in vars(defaults).items() if getattr(self, name) is None}
        return self.model_copy(update=fill)
