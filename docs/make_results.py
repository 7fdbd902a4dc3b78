"""Makes results.md and its figure: python -m docs.make_results data/reference [other_object.csv].

The data root must hold the study `reference`, finished at all doses.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from fly64_assets.science.palette import method_style
from fly64_assets.science.records import METHODS

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent
SCORES = (
    ("ssim", "phase", "SSIM", 3),
    ("psnr", "phase", "PSNR, dB", 1),
    ("pearson", "phase", "Pearson r", 3),
    ("frc50", "complex", "FRC50, cycles/px", 3),
    ("excess_nll", "", "excess NLL, nats", 1),
    ("cpu_seconds_reconstruct", "", "CPU-s", 2),
    ("cpu_seconds_train", "", "CPU-s to train", 0),
)
VIEWS = ("dense", "sparse")
FRONTIER_METHODS = ("pinn", "pinn_refined")


def pivot(metrics: pd.DataFrame) -> pd.DataFrame:
    """Test-split values: one row per dose, view, method and seed, one column per (metric, part)."""
    rows = metrics[(metrics["split"] == "test") & metrics["method"].isin(METHODS)].fillna({"part": ""})
    return rows.pivot_table(index=["view", "dose", "method", "seed"], columns=["metric", "part"], values="value")


def score_lines(values: pd.DataFrame) -> list[str]:
    """The table of scores as Markdown, mean ± standard deviation over seeds."""
    lines = ["| view | dose | method | " + " | ".join(label for *_, label, _ in SCORES) + " |"]
    lines.append("| --- | --- | --- |" + " ---: |" * len(SCORES))
    for view in VIEWS:
        for dose in sorted(values.loc[view].index.unique("dose")):
            for method in METHODS:
                found = values.loc[(view, dose, method)]
                cells = [_spread(found, key, digits) for *key, _, digits in SCORES]
                lines.append(f"| {view} | {dose:g} | `{method}` | " + " | ".join(cells) + " |")
    return lines


def _spread(found: pd.DataFrame, key: list[str], digits: int) -> str:
    if tuple(key) not in found or found[tuple(key)].isna().all():
        return "–"
    column = found[tuple(key)]
    spread = "" if key[0].startswith("cpu") or len(column) < 2 else f" ± {column.std(ddof=1):.{digits}f}"
    return f"{column.mean():.{digits}f}{spread}"


def frontier_of(root: Path) -> pd.DataFrame:
    """pty_chi on its way: phase SSIM against CPU-seconds, all cells."""
    found = [pd.read_csv(path) for path in sorted(root.glob("comparison_metrics/*/*/frontier.csv"))]
    return pd.concat(found)[lambda table: table["split"] == "test"]


def equal_time_lines(values: pd.DataFrame, frontier: pd.DataFrame) -> list[str]:
    """What LSQML had reached when each network was done, mean over seeds."""
    lines = [
        "| view | dose | method | its SSIM | CPU-s | `pty_chi` by then | with training, CPU-s | `pty_chi` by then |"
    ]
    lines.append("| --- | --- | --- |" + " ---: |" * 5)
    for view in VIEWS:
        for dose in sorted(values.loc[view].index.unique("dose")):
            for method in FRONTIER_METHODS:
                found = values.loc[(view, dose, method)]
                alone = found["cpu_seconds_reconstruct", ""]
                whole = alone + found["cpu_seconds_train", ""]
                reached = [_reached(frontier, view, dose, times) for times in (alone, whole)]
                lines.append(
                    f"| {view} | {dose:g} | `{method}` | {found['ssim', 'phase'].mean():.3f} | {alone.mean():.2f} "
                    f"| {reached[0]:.3f} | {whole.mean():.0f} | {reached[1]:.3f} |"
                )
    return lines


def _reached(frontier: pd.DataFrame, view: str, dose: float, times: pd.Series) -> float:
    mine = frontier[(frontier["view"] == view) & (frontier["dose"] == dose) & (frontier["method"] == "pty_chi")]
    per_seed = []
    for seed, seconds in times.items():
        trace = mine[mine["seed"] == seed].sort_values("cpu_seconds")
        per_seed.append(np.interp(seconds, trace["cpu_seconds"], trace["value"]))
    return float(np.mean(per_seed))


def draw_frontier(values: pd.DataFrame, frontier: pd.DataFrame, path: Path) -> None:
    """A panel per cell: LSQML's way, and every method at its own cost; hollow marks include training."""
    doses = sorted(frontier["dose"].unique())
    figure, axes = plt.subplots(len(VIEWS), len(doses), figsize=(11, 6), sharey=True, layout="constrained")
    for view, row in zip(VIEWS, axes, strict=True):
        for dose, axis in zip(doses, row, strict=True):
            mine = frontier[(frontier["view"] == view) & (frontier["dose"] == dose)]
            for seed in sorted(mine["seed"].unique()):
                trace = mine[(mine["seed"] == seed) & (mine["cpu_seconds"] > 0)].sort_values("cpu_seconds")
                axis.plot(trace["cpu_seconds"], trace["value"], color=method_style("pty_chi").light, lw=1)
            for method in METHODS:
                found, colour = values.loc[(view, dose, method)], method_style(method).light
                alone, quality = found["cpu_seconds_reconstruct", ""], found["ssim", "phase"]
                axis.plot(alone, quality, "o", color=colour, ms=6, label=method)
                training = found.get(("cpu_seconds_train", ""))
                if training is not None and training.notna().all():
                    axis.plot(alone + training, quality, "o", mfc="none", color=colour, ms=6)
            axis.set(xscale="log", ylim=(0, 1), title=f"{view}, {dose:g} photons")
            axis.grid(alpha=0.25)
        row[0].set_ylabel("phase SSIM, test split")
    for axis in axes[-1]:
        axis.set_xlabel("CPU-seconds")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Write the page's tables over what stands between its markers, and the figure."""
    root = Path(sys.argv[1])
    values = pivot(pd.read_csv(root / "study_report" / "metrics.csv"))
    frontier = frontier_of(root)
    draw_frontier(values, frontier, DOCS / "images" / "frontier.png")
    tables = {"scores": score_lines(values), "equal time": equal_time_lines(values, frontier)}
    if len(sys.argv) > 2:
        tables["other object"] = score_lines(pivot(pd.read_csv(sys.argv[2])))
    page = DOCS / "results.md"
    text = page.read_text()
    for name, lines in tables.items():
        head, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, tail = rest.partition(f"<!-- end of {name} -->")
        text = f"{head}<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end of {name} -->{tail}"
    page.write_text(text)


if __name__ == "__main__":
    main()
