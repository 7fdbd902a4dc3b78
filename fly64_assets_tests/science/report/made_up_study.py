"""A made-up study with plausible scores: a test fixture, not a result."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

from fly64_assets.science.options import ViewOptions
from fly64_assets.science.records import MethodRole
from fly64_assets.science.report import CellRecord, ReportData

DOSES = (1e3, 1e4, 1e5)
VIEWS = {
    "baseline": ViewOptions(gridsize=1, trains="baseline"),
    "dense": ViewOptions(overlap=0.7),
    "sparse": ViewOptions(overlap=0.2),
}
PHASE_SSIM = {
    ("pinn", "dense"): (0.55, 0.68, 0.74),
    ("pinn", "sparse"): (0.27, 0.52, 0.60),
    ("pinn_refined", "dense"): (0.61, 0.80, 0.91),
    ("pinn_refined", "sparse"): (0.31, 0.66, 0.72),
    ("baseline", "baseline"): (0.50, 0.62, 0.66),
    ("baseline", "dense"): (0.41, 0.55, 0.60),
    ("baseline", "sparse"): (0.14, 0.31, 0.38),
    ("pty_chi", "baseline"): (0.58, 0.82, 0.93),
    ("pty_chi", "dense"): (0.50, 0.79, 0.90),
    ("pty_chi", "sparse"): (0.10, 0.55, 0.72),
    ("flat", "baseline"): (0.02, 0.02, 0.02),
    ("flat", "dense"): (0.02, 0.02, 0.02),
    ("flat", "sparse"): (0.03, 0.03, 0.03),
    ("truth", "baseline"): (1.0, 1.0, 1.0),
    ("truth", "dense"): (1.0, 1.0, 1.0),
    ("truth", "sparse"): (1.0, 1.0, 1.0),
}
PINN = MethodRole(
    "pinn", "unrolled", "physics-informed network", "view", "counts", learned=True, settings="epochs 60, width 16"
)
REFINED = MethodRole("pinn_refined", "map", "a smoothness prior", starts_from="pinn", learned=True, settings="passes 4")
BASELINE = MethodRole("baseline", "supervised", "supervised network", "view", "truth", "baseline", learned=True)
PTY_CHI = MethodRole("pty_chi", "pty_chi", "iterative reconstruction", settings="epochs 120")
FOUR = (PINN, REFINED, BASELINE, PTY_CHI)
FLAT_MAP = MethodRole("map", "map", "a smoothness prior", settings="passes 60")
SEVEN = (
    *FOUR,
    FLAT_MAP,
    MethodRole("pinn_wide", "unrolled", "physics-informed network", "view", "counts", learned=True),
    MethodRole("rpie", "pty_chi", "iterative reconstruction", settings="algorithm rPIE"),
)
TEN = (
    *SEVEN,
    MethodRole("for_the_probe", "general", "a network for the probe", "probe", "truth", learned=True),
    MethodRole("gradient_descent", "gradient", "somebody's own solver"),
    MethodRole("a_name_that_is_as_long_as_a_name_may_be", "map", "a smoothness prior", starts_from="gradient_descent"),
)
NAMES = tuple(role.name for role in FOUR)
TWO_CLASSICAL = (FLAT_MAP, PTY_CHI)
OVERLAP = {"baseline": 0.78, "dense": 0.71, "sparse": 0.22}
KEPT = {"baseline": 498, "dense": 310, "sparse": 74}
RECONSTRUCT_S = {"pinn": 0.6, "pinn_refined": 5.0, "baseline": 0.5, "pty_chi": 60.0}


def phase_ssim(methods: Sequence[MethodRole]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Scores of every method and view; those of a method that is not in the table follow from its place."""
    found = {}
    for place, role in enumerate(methods):
        like = role.name if (role.name, "dense") in PHASE_SSIM else "pinn" if role.learned else "pty_chi"
        offset = 0.0 if like == role.name else 0.013 * place - 0.06
        mine = {view: by_dose for (method, view), by_dose in PHASE_SSIM.items() if method == like}
        found |= {(role.name, v): tuple(min(s + offset, 0.97) for s in by_dose) for v, by_dose in mine.items()}
    return found | {key: by_dose for key, by_dose in PHASE_SSIM.items() if key[0] in ("flat", "truth")}


def reconstruct_s(role: MethodRole) -> float:
    """CPU-seconds of a method in the dense view."""
    return RECONSTRUCT_S.get(role.name, 0.9 if role.learned else 20.0 + len(role.name))


def made_up_metrics(
    seeds: Sequence[int] = (1,), *, intervals: bool = True, methods: Sequence[MethodRole] = FOUR
) -> pd.DataFrame:
    """A metrics table of all cells in the columns of the scoring function, with the rows of the costs."""
    rng = np.random.default_rng(5)
    rows: list[dict] = []
    roles: dict[str, MethodRole | str] = {role.name: role for role in methods}
    for (method, view), by_dose in phase_ssim(methods).items():
        for dose, ssim in zip(DOSES, by_dose, strict=True):
            for split in ("train", "test"):
                for seed in seeds:
                    role = roles.get(method, method)
                    rows += _rows(role, view, dose, split, seed, ssim, rng, intervals=intervals)
    return pd.DataFrame(rows)


def _rows(
    role: MethodRole | str,
    view: str,
    dose: float,
    split: str,
    seed: int,
    ssim: float,
    rng: np.random.Generator,
    *,
    intervals: bool,
) -> list[dict]:
    method = role if isinstance(role, str) else role.name
    exact = isinstance(role, str)
    ssim = ssim if exact else ssim + float(rng.normal(scale=0.008)) + (0.02 if split == "train" else 0.0)
    fluence = dose * KEPT[view] / 18_000
    values = {
        ("ssim", "phase"): ssim,
        ("ssim", "amplitude"): min(1.0, ssim * 0.9 + 0.05),
        ("psnr", "phase"): 10 + 22 * ssim,
        ("pearson", "phase"): {"flat": 0.0, "truth": 1.0}.get(method, min(0.999, 0.45 + 0.55 * ssim)),
        ("rmse", "phase"): 0.0 if method == "truth" else 0.35 * (1.02 - ssim),
        ("nrmse", "complex"): 0.4 * (1.0 - ssim),
        ("frc50", "complex"): {"flat": math.nan, "truth": math.nan}.get(method, 0.42 * ssim),
        ("excess_nll", ""): {"truth": 0.0, "flat": 30.0 * dose / 1e4}.get(method, 0.9 * (1 - ssim) - 0.1),
    }
    if isinstance(role, MethodRole):
        values["cpu_seconds_reconstruct", ""] = reconstruct_s(role) * KEPT[view] / 310
        values["cpu_seconds_train", ""] = 140.0 if role.learned else 0.0
        values["patterns_trained_on", ""] = KEPT[role.trained_on or view] if role.learned else 0
    else:
        values["photons_per_object_pixel", ""] = fluence
    base = {"dose": dose, "view": view, "split": split, "seed": seed, "scoring_version": "1"}
    aligned = {"shift_x_px": 0.02, "shift_y_px": -0.31, "ramp_x_rad_per_px": 1e-4, "ramp_y_rad_per_px": 0.0}
    aligned |= {"scale_abs": 1.01, "scale_phase_rad": 0.4, "registration_ok": True}
    rows = []
    for (metric, part), value in values.items():
        half = 0.03 if intervals and not exact else math.nan
        row = base | {"method": method, "metric": metric, "part": part, "value": value}
        rows.append(row | {"value_low": value - half, "value_high": value + half} | aligned)
    if method == "truth":
        bound = 1 / math.sqrt(2 * fluence)
        row = base | {"method": "bound", "metric": "phase_bound_rms", "part": "phase", "value": bound}
        rows.append(row | {"value_low": math.nan, "value_high": math.nan} | aligned)
    return rows


def made_up_frc(methods: Sequence[MethodRole] = FOUR) -> pd.DataFrame:
    """FRC curves that fall at a frequency given by the score."""
    frequencies = np.linspace(0, 0.5, 60)
    rows = []
    for (method, view), by_dose in phase_ssim(methods).items():
        if method in ("flat", "truth"):
            continue
        for dose, ssim in zip(DOSES, by_dose, strict=True):
            curve = 1 / (1 + np.exp((frequencies - 0.42 * ssim) * 30))
            for frequency, value in zip(frequencies, curve, strict=True):
                row = {"dose": dose, "view": view, "split": "test", "seed": 1, "method": method}
                rows.append(row | {"frequency_cycles_per_px": frequency, "frc": value})
    return pd.DataFrame(rows)


def made_up_trace(seeds: Sequence[int] = (1,), methods: Sequence[MethodRole] = FOUR) -> pd.DataFrame:
    """The way of each method: half the distance left after every eighth of its time; a network has no steps.

    What starts from another method's result starts at its time and score.
    """
    rows = []
    scores = phase_ssim(methods)
    by_name = {role.name: role for role in methods}
    for (method, view), by_dose in scores.items():
        role = by_name.get(method)
        if role is None:
            continue
        steps = 1 if role.trains != "nothing" else 8
        whole = reconstruct_s(role) * KEPT[view] / 310
        for index, (dose, ssim) in enumerate(zip(DOSES, by_dose, strict=True)):
            first = scores[role.starts_from, view][index] if role.starts_from else 0.02
            since = reconstruct_s(by_name[role.starts_from]) * KEPT[view] / 310 if role.starts_from else 0.0
            for seed in seeds:
                for step in range(steps + 1):
                    row = {"dose": dose, "view": view, "split": "test", "seed": seed, "method": method, "step": step}
                    value = ssim if step == steps else ssim + (first - ssim) * 0.5**step
                    seconds = since + (whole - since) * step / steps
                    rows.append(row | {"cpu_seconds": seconds, "value": value})
    return pd.DataFrame(rows)


def made_up_png(pixels: np.ndarray | None = None) -> bytes:
    """A picture of the pixels, tiny by default."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8) if pixels is None else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def made_up_cell(dose: float, view: str) -> CellRecord:
    """A scored cell with its overlap record."""
    summary = {
        "requested_overlap": VIEWS[view].overlap,
        "measured_overlap": OVERLAP[view],
        "n_images_total": 498,
        "n_images_subsampled": KEPT[view],
        "probe_diameter_px": 21.6,
        "metric_1_group_based_avg": None if view == "baseline" else 0.3,
        "metric_2_image_based_avg": 0.44,
        "metric_3_group_to_group_avg": 0.2,
        "acceptance_rate": KEPT[view] / 498,
        "geometry_acceptance_bound": 0.1,
        "photons_per_object_pixel": dose * KEPT[view] / 18_000,
    }
    digests = {f"trained_bundle/dose_{dose:g}/{view}/gs2/wts.h5.zip": "ab" * 32}
    return CellRecord(dose, view, "done", "", {"train": summary, "test": summary}, made_up_png(), "", digests)


def made_up_study(seeds: Sequence[int] = (1,), methods: tuple[MethodRole, ...] = FOUR) -> ReportData:
    """A complete study of three doses and three views, by default of four methods."""
    return ReportData(
        study_name="quick",
        title="Low dose, low overlap: does a physics-informed network help?",
        question=(
            "How do a physics-informed network, a supervised network and iterative reconstruction compare when "
            "photons and overlap are scarce?\n\nEach is given the same patterns and the same probe; none sees the "
            "object, except the supervised network while it learns."
        ),
        methods=methods,
        doses=DOSES,
        views=VIEWS,
        seeds=tuple(seeds),
        study_hash="0123456789abcdef" * 4,
        object_origin="truth",
        cells=tuple(made_up_cell(dose, view) for view in VIEWS for dose in DOSES),
        metrics=made_up_metrics(seeds, methods=methods),
        frc=made_up_frc(methods),
        trace=made_up_trace(seeds, methods),
        scan_png=made_up_png(),
        versions={"torch": "2.13.0", "ptychi": "2.2.0", "dagster": "1.13.27"},
        commands=("make study STUDY=quick DOSES=all",),
        settings={"Started by": "hand"},
    )


def with_cells_not_done(data: ReportData) -> ReportData:
    """The study with one skipped, one failed and one absent cell, and their scores gone."""
    gone = {
        (1e3, "sparse"): ("skipped", "9 train positions are kept, the study asks for at least 20"),
        (1e4, "sparse"): ("failed", "pty-chi ended with an error: out of memory"),
    }
    cells = [
        replace(c, status=gone[c.dose, c.view][0], reason=gone[c.dose, c.view][1]) if (c.dose, c.view) in gone else c
        for c in data.cells
    ]
    cells = [c for c in cells if (c.dose, c.view) != (1e5, "sparse")]
    metrics = data.metrics[data.metrics["view"] != "sparse"].reset_index(drop=True)
    return replace(data, cells=tuple(cells), metrics=metrics)


def with_divergence(
    data: ReportData, method: str, view: str, note: str = "diverged: it ended above a flat object"
) -> ReportData:
    """The study with a method that diverged in a view at every dose: its likelihood and costs are all that is left."""
    metrics = data.metrics.assign(note=data.metrics.get("note", ""))
    mine = (metrics["method"] == method) & (metrics["view"] == view)
    image = mine & (metrics["part"] != "")
    metrics.loc[image, ["value", "value_low", "value_high"]] = math.nan
    metrics.loc[mine & (metrics["metric"] == "excess_nll"), ["value", "value_low", "value_high"]] = 2e11
    metrics.loc[mine, "note"] = note
    frc = data.frc[(data.frc["method"] != method) | (data.frc["view"] != view)]
    return replace(data, metrics=metrics, frc=frc)
