import math
import re
from dataclasses import replace

import pandas as pd
import pytest

from fly64_assets.science.report import ReportData
from fly64_assets.science.report.equal_time import (
    Budget,
    EqualTime,
    Reached,
    at_equal_time,
    equal_time_sentences,
    equal_time_table,
    value_at,
)
from fly64_assets.science.report.scores import Scores
from fly64_assets.science.report.wording import dose_text
from fly64_assets_tests.science.report.made_up_study import (
    SEVEN,
    TEN,
    TWO_CLASSICAL,
    VIEWS,
    made_up_study,
    with_divergence,
)

CELL = {"dose": 1e3, "view": "dense", "split": "test"}


def study(rows: list[tuple], trace: list[tuple], rival: str = "pty_chi") -> ReportData:
    """Rows as (seed, method, metric, value) and a rival's trace as (seed, CPU-seconds, value)."""
    metrics = [
        CELL | {"seed": s, "method": m, "metric": q, "part": "phase" if q == "ssim" else "", "value": v}
        for s, m, q, v in rows
    ]
    points = [CELL | {"seed": s, "method": rival, "step": t, "cpu_seconds": t, "value": v} for s, t, v in trace]
    views = {"dense": VIEWS["dense"]}
    return replace(
        made_up_study(), doses=(1e3,), views=views, metrics=pd.DataFrame(metrics), trace=pd.DataFrame(points)
    )


def compared(data: ReportData) -> list[EqualTime]:
    return at_equal_time(data, Scores(data.metrics, data.names))


def network(seed: int, ssim: float, seconds: float, train: float) -> list[tuple]:
    costs = [(seed, "pinn", "cpu_seconds_reconstruct", seconds), (seed, "pinn", "cpu_seconds_train", train)]
    return [(seed, "pinn", "ssim", ssim), *costs]


STRAIGHT = [(1, 4.0, 0.8), (1, 0.0, 0.0), (1, 2.0, 0.4)]


def test_a_straight_trace_is_read_off_exactly_and_held_at_its_end() -> None:
    trace = [(t, 0.1 + 0.2 * t) for t in (0.0, 0.5, 2.0, 4.0)]
    for seconds in (0.0, 0.3, 0.5, 1.7, 4.0):
        assert value_at(seconds, trace) == pytest.approx(0.1 + 0.2 * seconds)
    assert value_at(100.0, trace) == pytest.approx(0.9)
    assert math.isnan(value_at(0.4, trace[1:])), "nothing is known before the first estimate"


def test_a_method_without_estimates_on_its_way_has_its_start_until_it_has_its_result() -> None:
    trace = [(1.0, 0.1), (3.0, 0.9)]
    assert [value_at(seconds, trace) for seconds in (1.0, 2.9, 3.0, 5.0)] == [0.1, 0.1, 0.9, 0.9]


def test_alone_and_with_training_are_two_times_on_the_same_trace() -> None:
    (found,) = compared(study(network(1, 0.5, 1.0, 2.0), STRAIGHT))
    assert (found.method, found.value) == ("pinn", 0.5)
    assert found.alone == Budget(1.0, {"pty_chi": Reached(0.2, ended=False)})
    assert found.with_training is not None
    assert found.with_training.cpu_seconds == 3.0
    assert found.with_training.others["pty_chi"].value == pytest.approx(0.6)


def test_seeds_are_compared_one_by_one_then_averaged() -> None:
    rows = network(1, 0.5, 1.0, 1.0) + network(2, 0.7, 4.0, 1.0) + network(3, 0.9, 4.0, 1.0)
    trace = [(1, 0.0, 0.0), (1, 1.0, 0.2), (1, 2.0, 0.4), (2, 0.0, 0.0), (2, 1.0, 0.3), (2, 2.0, 0.6)]
    (found,) = compared(study(rows, trace))
    assert found.value == pytest.approx(0.6)
    assert found.alone.others["pty_chi"].value == pytest.approx((0.2 + 0.6) / 2)
    assert not found.alone.others["pty_chi"].ended
    assert found.with_training is not None
    assert found.with_training.others["pty_chi"].ended


def test_rows_of_the_train_split_play_no_part() -> None:
    data = study(network(1, 0.5, 1.0, 2.0), STRAIGHT)
    other = data.metrics.assign(split="train", value=99.0)
    trace = pd.concat([data.trace, data.trace.assign(split="train", value=0.9)])
    assert compared(replace(data, metrics=pd.concat([other, data.metrics]), trace=trace)) == compared(data)


def test_words_and_table_say_who_is_ahead() -> None:
    data = study(network(1, 0.5, 1.0, 9.0), STRAIGHT)
    scores, found = Scores(data.metrics, data.names), compared(data)
    assert equal_time_sentences(data, found) == [
        "At equal CPU time `pinn` is ahead of `pty_chi` in 1 of 1 cell; with its training counted, of `pty_chi` in 0 "
        "of 1 cell."
    ]
    (row,) = equal_time_table(data, scores, found).rows
    assert [cell.text for cell in row] == ["dense, 10³", "pinn", "1", "0.50", "0.20"]
    assert row[-1].css == ""
    (row,) = equal_time_table(data, scores, found, with_training=True).rows
    assert [cell.text for cell in row] == ["dense, 10³", "pinn", "10", "0.50", "0.80 †"]
    assert row[-1].css == "ahead"


def test_every_method_has_a_row_and_a_column_and_is_not_beside_itself() -> None:
    data = made_up_study(methods=TEN)
    scores = Scores(data.metrics, data.names)
    table = equal_time_table(data, scores, compared(data))
    assert table.headers[4:] == data.names
    for row in table.rows:
        assert row[4 + data.names.index(row[1].text)].text == ""
    rows = {(row[0].text, row[1].text) for row in table.rows}
    scored = {(f"{v}, {dose_text(d)}", m) for d, v in scores.cells() for m in scores.methods(d, v)}
    assert rows == scored


def test_what_diverged_is_neither_judged_nor_a_yardstick() -> None:
    data = with_divergence(made_up_study(methods=SEVEN), "rpie", "dense")
    scores, found = Scores(data.metrics, data.names), compared(data)
    dense = [each for each in found if each.view == "dense"]
    assert dense
    assert all(each.method != "rpie" and "rpie" not in each.alone.others for each in dense)
    column = 4 + data.names.index("rpie")
    texts = {row[column].text for row in equal_time_table(data, scores, found).rows if row[0].text.startswith("dense")}
    assert texts == {"diverged"}


def test_a_rival_that_has_nothing_yet_is_behind_and_shown_as_a_dash() -> None:
    data = study(network(1, 0.5, 1.0, 9.0), [(1, 2.0, 0.7), (1, 4.0, 0.8)])
    scores, found = Scores(data.metrics, data.names), compared(data)
    assert "ahead of `pty_chi` in 1 of 1 cell;" in equal_time_sentences(data, found)[0]
    assert equal_time_table(data, scores, found).rows[0][-1].text == "–"


def test_only_learned_methods_are_held_against_those_without_a_network() -> None:
    sentences = equal_time_sentences(data := made_up_study(methods=SEVEN), compared(data))
    assert len(sentences) == sum(role.learned for role in SEVEN)
    for sentence, role in zip(sentences, [role for role in SEVEN if role.learned], strict=True):
        assert set(re.findall(r"`(\w+)`", sentence)) == {role.name, "pty_chi", "map", "rpie"}
    classical = made_up_study(methods=TWO_CLASSICAL)
    assert equal_time_sentences(classical, compared(classical)) == []
    assert compared(classical) != []


def test_without_a_trace_nothing_is_said() -> None:
    data = made_up_study()
    for trace in (None, pd.DataFrame()):
        found = compared(replace(data, trace=trace))
        assert found == []
        assert not equal_time_table(data, Scores(data.metrics, data.names), found)
        assert equal_time_sentences(data, found) == []
