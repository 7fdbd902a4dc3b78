from dataclasses import replace

import pandas as pd
import pytest

from fly64_assets.science.report import ReportData
from fly64_assets.science.report.equal_time import (
    at_equal_time,
    equal_time_sentences,
    equal_time_table,
    value_at,
)
from fly64_assets_tests.science.report.made_up_study import VIEWS, made_up_study

CELL = {"dose": 1e3, "view": "dense", "split": "test"}


def study(rows: list[tuple], trace: list[tuple]) -> ReportData:
    """Rows as (seed, method, metric, value) and a trace as (seed, CPU-seconds, value)."""
    metrics = [
        CELL | {"seed": s, "method": m, "metric": q, "part": "phase" if q == "ssim" else "", "value": v}
        for s, m, q, v in rows
    ]
    points = [CELL | {"seed": s, "method": "pty_chi", "cpu_seconds": t, "value": v} for s, t, v in trace]
    views = {"dense": VIEWS["dense"]}
    return replace(
        made_up_study(), doses=(1e3,), views=views, metrics=pd.DataFrame(metrics), frontier=pd.DataFrame(points)
    )


def network(seed: int, ssim: float, seconds: float, train: float) -> list[tuple]:
    costs = [(seed, "pinn", "cpu_seconds_reconstruct", seconds), (seed, "pinn", "cpu_seconds_train", train)]
    return [(seed, "pinn", "ssim", ssim), *costs]


def test_a_straight_trace_is_read_off_exactly_and_held_at_its_ends() -> None:
    trace = [(t, 0.1 + 0.2 * t) for t in (0.0, 0.5, 2.0, 4.0)]
    for seconds in (0.0, 0.3, 0.5, 1.7, 4.0):
        assert value_at(seconds, trace) == pytest.approx(0.1 + 0.2 * seconds)
    assert value_at(100.0, trace) == pytest.approx(0.9)
    assert value_at(0.0, trace[1:]) == pytest.approx(0.2)


def test_alone_and_with_training_are_two_times_on_the_same_trace() -> None:
    (found,) = at_equal_time(study(network(1, 0.5, 1.0, 2.0), [(1, 4.0, 0.8), (1, 0.0, 0.0)]))
    assert (found.method, found.value) == ("pinn", 0.5)
    assert (found.alone.cpu_seconds, found.alone.value, found.alone.ended) == (1.0, pytest.approx(0.2), False)
    assert found.with_training is not None
    assert (found.with_training.cpu_seconds, found.with_training.value) == (3.0, pytest.approx(0.6))


def test_seeds_are_compared_one_by_one_then_averaged() -> None:
    rows = network(1, 0.5, 1.0, 1.0) + network(2, 0.7, 4.0, 1.0) + network(3, 0.9, 4.0, 1.0)
    (found,) = at_equal_time(study(rows, [(1, 0.0, 0.0), (1, 2.0, 0.4), (2, 0.0, 0.0), (2, 2.0, 0.6)]))
    assert found.value == pytest.approx(0.6)
    assert found.alone.value == pytest.approx((0.2 + 0.6) / 2)
    assert not found.alone.ended
    assert found.with_training is not None
    assert found.with_training.ended


def test_rows_of_the_train_split_play_no_part() -> None:
    data = study(network(1, 0.5, 1.0, 2.0), [(1, 4.0, 0.8), (1, 0.0, 0.0)])
    other = data.metrics.assign(split="train", value=99.0)
    trace = pd.concat([data.frontier, data.frontier.assign(split="train", value=0.9)])
    assert at_equal_time(replace(data, metrics=pd.concat([other, data.metrics]), frontier=trace)) == at_equal_time(data)


def test_words_and_table_say_who_is_ahead() -> None:
    found = at_equal_time(study(network(1, 0.5, 1.0, 9.0), [(1, 4.0, 0.8), (1, 0.0, 0.0)]))
    assert equal_time_sentences(found) == [
        "`pty_chi` given the CPU time of `pinn`: for reconstruction alone it scores lower in 1 of 1 cell and with the "
        "training included in 0 of 1."
    ]
    (row,) = equal_time_table(found).rows
    assert [cell.text for cell in row] == ["dense", "10³", "pinn", "0.50", "1", "0.20", "10", "0.80 †"]
    assert [cell.small for cell in row[-4:]] == ["", "−0.30", "", "+0.30"]


def test_without_a_trace_nothing_is_said() -> None:
    data = made_up_study()
    for frontier in (None, pd.DataFrame()):
        found = at_equal_time(replace(data, frontier=frontier))
        assert found == []
        assert not equal_time_table(found)
        assert equal_time_sentences(found) == []
