"""A metric of somebody else: a plain function in one record, scored for every method, and unable to stop a cell."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fly64_assets.science import registry
from fly64_assets.science.metrics import shipped
from fly64_assets.science.metrics.cell_scores import CellScores, ImagePair
from fly64_assets.science.metrics.record import METRICS, Metric, PerBlock, scored_metrics
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.table import table_faults
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.registry import RegistryError
from fly64_assets_tests.science.metrics import cells

DATASET, SCAN = cells.cell()
TRUTH = cells.truth()
SHIPPED = tuple(value for value in vars(shipped).values() if isinstance(value, Metric))
WORDS = {"direction": "lower", "label": "made up", "digits": 3, "meaning": "made up for a test"}


def made_up(name: str = "made_up", **fields) -> Metric:
    return Metric(name=name, **(WORDS | fields))


def phase_gradient_error(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error of the phase step between neighbouring columns, rad/px."""
    steps = [part[:, 1:] * part[:, :-1].conj() for part in (image, truth)]
    both = mask[:, 1:] & mask[:, :-1]
    return np.abs(np.angle(steps[0] * steps[1].conj()))[both].mean()


def scored(metrics: tuple[Metric, ...] | None, samples: int = 0, named: tuple[str, ...] = ()) -> CellScores:
    rng = np.random.default_rng(0)
    images = {
        name: TRUTH + cells.complex_noise(TRUTH.shape, size, rng) for name, size in (("good", 0.03), ("bad", 0.2))
    }
    return score_cell(
        {name: cells.reconstruction(image) for name, image in images.items()},
        DATASET, SCAN, ScoringOptions(bootstrap_samples=samples, bound_patches=0, metrics=named),
        dose=1e4, view="dense", split="test", seed=1, rng=np.random.default_rng(1), metrics=metrics,
    )  # fmt: skip


def rows(scores: CellScores, metric: str) -> pd.DataFrame:
    """Rows of a metric that stand first, or that need no alignment."""
    table = scores.table[(scores.table["metric"] == metric) & (scores.table["stands_first"].ne(False))]
    return table.set_index("method")


def test_a_plain_function_is_scored_for_every_method_without_interval() -> None:
    metric = made_up("phase_gradient_error", part="phase", unit="rad/px", compute=phase_gradient_error)
    found = scored((*SHIPPED, metric), samples=5)
    mine = rows(found, "phase_gradient_error")
    assert set(mine.index) == {"good", "bad", "flat", "truth"}
    assert (mine["part"] == "phase").all()
    assert mine["value"]["truth"] < 1e-6 < mine["value"]["good"] < mine["value"]["bad"]
    pair = found.pairs["good"]
    assert mine["value"]["good"] == pytest.approx(phase_gradient_error(pair.image, pair.truth, pair.mask))
    assert mine[["value_low", "value_high"]].isna().all(axis=None)
    assert mine.loc["good", "registration_ok"]
    without = scored(SHIPPED, samples=5).table
    others = found.table[found.table["metric"] != "phase_gradient_error"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, without, check_exact=True)


def test_sums_per_block_give_the_same_bootstrap_as_a_shipped_metric() -> None:
    """The phase's mean squared error, written again as somebody else would."""

    def sums(pair: ImagePair, blocks: np.ndarray) -> np.ndarray:
        errors = (pair.phase_rad - pair.truth_phase_rad) ** 2
        count = int(blocks.max()) + 1
        found = np.zeros((count, 2))
        for number in range(count):
            inside = pair.mask & (blocks == number)
            found[number] = inside.sum(), errors[inside].sum()
        return found

    metric = made_up(per_block=PerBlock(sums=sums, score=lambda totals, _: totals[..., 1] / totals[..., 0]))
    found = scored((shipped.PHASE_MSE, metric), samples=50)
    columns = ["value", "value_low", "value_high"]
    mine, theirs = (rows(found, name).loc[["good", "bad"], columns] for name in ("made_up", "mse"))
    assert mine.to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-9)


def test_a_function_of_the_rings_and_one_of_the_counts() -> None:
    ring = made_up(
        "low_ring", needs="rings", compute=lambda frequency, correlation: correlation[frequency < 0.1].mean()
    )
    count = made_up("nll", needs="counts", compute=lambda nll, nll_of_truth: nll)
    found = scored((ring, count), samples=20)
    curve = found.frc_curves[(found.frc_curves["method"] == "bad") & (found.frc_curves["alignment"] == "scale")]
    expected = curve.loc[curve["frequency_cycles_per_px"] < 0.1, "frc"].mean()
    low = rows(found, "low_ring").loc["bad"]
    assert low["value"] == pytest.approx(expected)
    assert low["value_low"] < low["value"] < low["value_high"]
    assert rows(found, "nll")["value"]["truth"] < rows(found, "nll")["value"]["bad"]


def raises(*_: object) -> float:
    message = "no such\nthing"
    raise KeyError(message)


def spoils(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    image[:] = truth
    return float(mask.sum())


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (raises, "metric made_up failed: KeyError: 'no such"),
        (lambda *_: np.nan, "metric made_up failed: its value is nan"),
        (lambda *_: np.inf, "metric made_up failed: its value is inf"),
        (lambda *_: 1j, "metric made_up failed: TypeError"),
        (lambda *_: None, "metric made_up failed: TypeError"),
        (lambda *_: np.ones(3), "metric made_up failed: TypeError"),
        (lambda *_: np.float64(1) / np.float64(0), "metric made_up failed: "),
        (lambda image: 0.0, "metric made_up failed: TypeError"),
        (spoils, "metric made_up failed: ValueError: assignment destination is read-only"),
    ],
)
def test_a_metric_that_fails_is_a_note_and_nothing_else(compute: Callable, said: str, tmp_path: Path) -> None:
    metrics = (*SHIPPED, made_up(compute=compute))
    found = scored(metrics)
    mine = rows(found, "made_up")
    assert mine["value"].isna().all()
    assert mine["note"].str.contains(said, regex=False).all()
    assert not mine["note"].str.contains("\n").any()
    assert found.failures == {}
    pd.testing.assert_frame_equal(rows(found, "ssim"), rows(scored(SHIPPED), "ssim"), check_exact=True)
    found.table.to_csv(tmp_path / "scores.csv", index=False)
    expected = {"methods": ["good", "bad"], "dose": 1e4, "view": "dense", "seeds": [1], "splits": ["test"]}
    assert table_faults(tmp_path / "scores.csv", **expected, metrics=metrics) == []


@pytest.mark.parametrize("needs", ["rings", "counts"])
def test_a_failure_of_other_needs_is_a_note_too(needs: str) -> None:
    assert (
        rows(scored((made_up(needs=needs, compute=raises),), samples=2), "made_up")["note"]
        .str.contains("KeyError")
        .all()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give compute, or per_block"),
        ({"needs": "counts", "per_block": shipped.PHASE_SSIM.per_block}, "give compute, and no per_block"),
        ({"compute": raises, "low": 1.0, "high": 0.0}, "low 1 must lie below high 0"),
    ],
)
def test_a_record_that_cannot_be_scored_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_up(**fields)


def test_two_metrics_of_the_same_rows_are_refused() -> None:
    twin = made_up("their_ssim", part="phase", score="ssim", compute=phase_gradient_error)
    with pytest.raises(ValueError, match="phase_ssim, their_ssim all write rows with metric 'ssim' and part 'phase'"):
        scored((*SHIPPED, twin))


def test_pyproject_registers_every_shipped_record_under_its_name() -> None:
    assert {metric.name: metric for metric in scored_metrics()} == {metric.name: metric for metric in SHIPPED}


def test_an_installed_metric_is_scored_where_the_study_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("phase_gradient_error", f"{__name__}:PHASE_GRADIENT_ERROR", METRICS.group)
    misnamed = EntryPoint("other", entry.value, METRICS.group)
    entries = dict(registry._entries(METRICS.group)) | {each.name: (each,) for each in (entry, misnamed)}
    monkeypatch.setattr(registry, "_entries", lambda group: entries)
    assert rows(scored(None), "phase_gradient_error").empty
    named = scored(None, named=("phase_gradient_error",))
    assert set(rows(named, "phase_gradient_error").index) == {"good", "bad", "flat", "truth"}
    assert set(named.table["metric"]) > {metric.key[0] for metric in SHIPPED}
    with pytest.raises(RegistryError, match="expected a Metric of that name"):
        scored(None, named=("other",))
    with pytest.raises(ValueError, match="did you mean 'phase_gradient_error'"):
        scored(None, named=("phase_gradient_eror",))


PHASE_GRADIENT_ERROR = made_up("phase_gradient_error", part="phase", unit="rad/px", compute=phase_gradient_error)


@pytest.mark.parametrize("metric", SHIPPED, ids=lambda metric: metric.name)
def test_a_direction_is_where_less_noise_lies_and_values_stay_in_their_range(metric: Metric) -> None:
    values = rows(scored((metric,)), metric.key[0])["value"]
    better = {"higher": values["good"] > values["bad"], "lower": values["good"] < values["bad"]}
    assert better.get(metric.direction, abs(values["good"]) < abs(values["bad"]))
    assert values.dropna().between(metric.low - 1e-9, metric.high + 1e-9).all()
    assert values.drop("truth").notna().all(), "the truth's own PSNR is infinite"
