"""Makes results.md and its figure: python -m docs.make_results data/reference --other-object other_object.csv.

The data root must hold a finished study, `reference` unless --study names another. The views on which every method has
a place become rows, and the methods, in the order of the study file; nothing here knows a method by its name.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fly64_assets.science.palette import method_styles
from fly64_assets.science.report.scores import standing_first
from fly64_assets.study import Study, load_study

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent
KEYS = ["dose", "view", "split", "object", "seed", "method"]
SCORES = (
    ("ssim", "phase", "SSIM", 3),
    ("psnr", "phase", "PSNR, dB", 1),
    ("pearson", "phase", "Pearson r", 3),
    ("frc50", "complex", "FRC50, cycles/px", 3),
    ("excess_nll", "", "excess NLL, nats", 1),
    ("cpu_seconds_reconstruct", "", "CPU-s", 2),
    ("cpu_seconds_train", "", "CPU-s to train", 0),
)


def shown_views(study: Study) -> list[str]:
    """The views that methods are compared on: every method has a place there."""
    return [view for view in study.views if all(study.skip_reason(method, view) is None for method in study.methods)]


def pivot(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Test-split values that stand first: a row per view, dose, method, object and seed, a column per metric."""
    metrics = standing_first(metrics)
    chosen = (metrics["split"] == "test") & metrics["method"].isin(study.methods)
    rows = metrics[chosen & metrics["view"].isin(shown_views(study))].fillna({"part": ""})
    return rows.pivot_table(
        index=["view", "dose", "method", "object", "seed"], columns=["metric", "part"], values="value"
    )


def with_costs(report: Path) -> pd.DataFrame:
    """Scores and costs of a report in one table; costs have no part."""
    return pd.concat([pd.read_csv(report / "metrics.csv"), pd.read_csv(report / "costs.csv")])


def with_seconds(path: Path) -> pd.DataFrame:
    """The table of the benchmark on another object, whose times stand in a column, in the same form."""
    table = pd.read_csv(path)
    timed = table[table["cpu_seconds"].notna()].drop_duplicates(KEYS)
    costs = timed[KEYS].assign(metric="cpu_seconds_reconstruct", value=timed["cpu_seconds"])
    return pd.concat([table, costs])


def cells(values: pd.DataFrame, study: Study) -> list[tuple[str, float]]:
    """View and dose of every cell that has scores, in the study's order."""
    found = {(view, dose) for view, dose, *_ in values.index}
    return [(view, dose) for view in study.views for dose in study.doses if (view, dose) in found]


def score_lines(values: pd.DataFrame, study: Study) -> list[str]:
    """The table of scores as Markdown, mean ± standard deviation over objects, or over seeds of one object."""
    lines = ["| view | dose | method | " + " | ".join(label for *_, label, _ in SCORES) + " |"]
    lines.append("| --- | --- | --- |" + " ---: |" * len(SCORES))
    for view, dose in cells(values, study):
        for method in study.methods:
            found = values.loc[(view, dose, method)]
            shown = [_spread(found, key, digits) for *key, _, digits in SCORES]
            lines.append(f"| {view} | {dose:g} | `{method}` | " + " | ".join(shown) + " |")
    return lines


def _spread(found: pd.DataFrame, key: list[str], digits: int) -> str:
    if tuple(key) not in found or found[tuple(key)].isna().all():
        return "–"
    column = found[tuple(key)]
    spread = "" if key[0].startswith("cpu") or len(column) < 2 else f" ± {column.std(ddof=1):.{digits}f}"
    return f"{column.mean():.{digits}f}{spread}"


def traces_of(report: Path) -> pd.DataFrame:
    """What every method had on its way: phase SSIM against CPU-seconds, all cells."""
    return pd.read_csv(report / "trace.csv").merge(pd.read_csv(report / "trace_costs.csv"), validate="one_to_one")


def equal_time_lines(values: pd.DataFrame, traces: pd.DataFrame, study: Study) -> list[str]:
    """What the methods that train nothing had reached when each learned one was done."""
    learned = [role.name for role in study.roles() if role.learned]
    others = [role.name for role in study.roles() if not role.learned]
    lines = ["| view | dose | method | its SSIM | CPU-s | " + " | ".join(f"`{name}` by then" for name in others) + " |"]
    lines.append("| --- | --- | --- |" + " ---: |" * (2 + len(others)))
    for view, dose in cells(values, study):
        for method in learned:
            found = values.loc[(view, dose, method)]
            seconds = found["cpu_seconds_reconstruct", ""].mean()
            reached = [_reached(_trace(traces, view, dose, name), seconds) for name in others]
            lines.append(
                f"| {view} | {dose:g} | `{method}` | {found['ssim', 'phase'].mean():.3f} | {seconds:.2f} | "
                + " | ".join(reached)
                + " |"
            )
    return lines


def _trace(traces: pd.DataFrame, view: str, dose: float, method: str) -> pd.DataFrame:
    mine = (traces["view"] == view) & (traces["dose"] == dose) & (traces["method"] == method)
    return traces[mine & traces["value"].notna()].sort_values("cpu_seconds")


def _reached(trace: pd.DataFrame, seconds: float) -> str:
    """The value at a time; before the first estimate that was kept there is none."""
    if trace.empty or seconds < trace["cpu_seconds"].iloc[0]:
        return "–"
    return f"{np.interp(seconds, trace['cpu_seconds'], trace['value']):.3f}"


def draw_traces(values: pd.DataFrame, traces: pd.DataFrame, study: Study, path: Path) -> None:
    """A panel per cell: the way of every method, and its end at its own cost; hollow marks include training."""
    styles, shown = method_styles(study.methods), cells(values, study)
    views, doses = list(dict.fromkeys(view for view, _ in shown)), sorted({dose for _, dose in shown})
    figure, axes = plt.subplots(
        len(views), len(doses), figsize=(11, 6), sharey=True, layout="constrained", squeeze=False
    )
    for (row, column), axis in np.ndenumerate(axes):
        view, dose = views[row], doses[column]
        axis.set(xscale="log", ylim=(0, 1), title=f"{view}, {dose:g} photons")
        axis.grid(alpha=0.25)
        if (view, dose) in shown:
            for method in study.methods:
                way = _trace(traces, view, dose, method)
                axis.plot(way["cpu_seconds"], way["value"], color=styles[method].light, lw=1)
                _draw_end(axis, values.loc[(view, dose, method)], styles[method].light, method)
    for axis in axes[:, 0]:
        axis.set_ylabel("phase SSIM, test split")
    for axis in axes[-1]:
        axis.set_xlabel("CPU-seconds")
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_end(axis: Axes, found: pd.DataFrame, colour: str, method: str) -> None:
    alone, quality = found["cpu_seconds_reconstruct", ""], found["ssim", "phase"]
    axis.plot(alone, quality, "o", color=colour, ms=6, label=method)
    training = found.get(("cpu_seconds_train", ""))
    if training is not None and training.notna().all():
        axis.plot(alone + training, quality, "o", mfc="none", color=colour, ms=6)


def filled(text: str, tables: Mapping[str, list[str]]) -> str:
    """A page with tables in place of what stands between their markers."""
    for name, lines in tables.items():
        head, _, rest = text.partition(f"<!-- {name} -->\n")
        _, _, tail = rest.partition(f"<!-- end of {name} -->")
        text = f"{head}<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end of {name} -->{tail}"
    return text


def main() -> None:
    """Write the page's tables over what stands between its markers, and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--study", default="reference", help="name or path")
    parser.add_argument("--other-object", type=Path, help="CSV of the benchmark bench_other_object")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder that results.md and images/ are written to")
    arguments = parser.parse_args()
    study, report = load_study(arguments.study), arguments.data_root / "study_report"
    values, traces = pivot(with_costs(report), study), traces_of(report)
    tables = {"scores": score_lines(values, study), "equal time": equal_time_lines(values, traces, study)}
    if arguments.other_object is not None:
        tables["other object"] = score_lines(pivot(with_seconds(arguments.other_object), study), study)
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    draw_traces(values, traces, study, arguments.out / "images" / "traces.png")
    (arguments.out / "results.md").write_text(filled((DOCS / "results.md").read_text(), tables))


if __name__ == "__main__":
    main()
