import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly64_assets.science.records import MethodRole
from fly64_assets.science.report import ReportData, answer
from fly64_assets.science.report.ranking import rank
from fly64_assets.science.report.scores import WORSE_THAN_FLAT, Scores
from fly64_assets.science.report.tables import headline
from fly64_assets_tests.science.report.made_up_study import (
    NAMES,
    SEVEN,
    TEN,
    TWO_CLASSICAL,
    VIEWS,
    made_up_metrics,
    made_up_study,
    with_cells_not_done,
    with_divergence,
)


def _study(scores: dict[tuple[str, float, str], tuple[float, float, float]], **changes: object) -> ReportData:
    """A study with just these phase SSIMs on the test split: (method, dose, view) -> value, low, high."""
    rows = [
        {"dose": dose, "view": view, "split": "test", "seed": 1, "method": method, "metric": "ssim", "part": "phase"}
        | {"value": value, "value_low": low, "value_high": high}
        for (method, dose, view), (value, low, high) in scores.items()
    ]
    doses = tuple(sorted({dose for _, dose, _ in scores})) or (1e3,)
    views = {v: VIEWS[v] for v in VIEWS if v in {view for _, _, view in scores}} or {"dense": VIEWS["dense"]}
    return replace(made_up_study(), doses=doses, views=views, cells=(), metrics=pd.DataFrame(rows), **changes)


def _all_text(data: ReportData) -> str:
    found = answer(data)
    return " ".join((*found.paragraph, *found.details, *found.caveats))


def test_a_clear_lead_is_claimed_with_its_margin() -> None:
    data = _study({("pinn", 1e3, "dense"): (0.6, 0.55, 0.65), ("pty_chi", 1e3, "dense"): (0.4, 0.35, 0.45)})
    text = answer(data).text()
    assert "`pinn` scores highest in dense at 10³, by 0.20 over the next." in text
    assert "told apart" not in text


def test_overlapping_intervals_are_no_lead() -> None:
    data = _study({("pinn", 1e3, "dense"): (0.6, 0.45, 0.75), ("pty_chi", 1e3, "dense"): (0.4, 0.3, 0.5)})
    text = answer(data).text()
    assert "In dense at 10³, `pinn` and `pty_chi` cannot be told apart at the top." in text
    assert "scores highest" not in text


def test_without_intervals_nobody_is_called_better() -> None:
    nan = math.nan
    data = _study({("pinn", 1e3, "dense"): (0.9, nan, nan), ("pty_chi", 1e3, "dense"): (0.1, nan, nan)})
    text = _all_text(data)
    assert "no method can be called better" in text
    assert "scores highest" not in text
    assert "`pinn` against `pty_chi`, dense at 10³: not distinguishable" in text


def test_a_method_alone_is_not_a_winner() -> None:
    text = answer(_study({("pty_chi", 1e3, "dense"): (0.4, 0.35, 0.45)})).text()
    assert "`pty_chi` alone is ranked (0.40)" in text
    assert "scores highest" not in text
    assert "`pinn`" not in text


def test_a_failed_registration_is_not_ranked_but_said() -> None:
    data = _study({("pinn", 1e3, "dense"): (0.9, 0.88, 0.92), ("pty_chi", 1e3, "dense"): (0.4, 0.35, 0.45)})
    failed = data.metrics.assign(registration_ok=data.metrics["method"] != "pinn")
    text = _all_text(replace(data, metrics=failed))
    assert "scores highest" not in text
    assert "Registration with the object failed: `pinn` in dense at 10³." in text


def test_the_short_answer_counts_leads_and_ties_of_the_cells_that_a_method_is_in() -> None:
    clear = {("pinn", 1e3, "dense"): (0.6, 0.55, 0.65), ("pty_chi", 1e3, "dense"): (0.4, 0.35, 0.45)}
    tied = {("pinn", 1e4, "dense"): (0.6, 0.55, 0.65), ("pty_chi", 1e4, "dense"): (0.7, 0.6, 0.8)}
    other = {("baseline", 1e4, "sparse"): (0.2, 0.1, 0.3), ("pty_chi", 1e4, "sparse"): (0.7, 0.6, 0.8)}
    expected = "`pinn` in 2 of 2 cells, `pty_chi` in 2 of 3 and `baseline` in none of 1."
    assert answer(_study(clear | tied | other)).short.endswith(expected)
    assert answer(_study({key: (value[0], math.nan, math.nan) for key, value in clear.items()})).short == ""


def test_nothing_scored_is_said_and_nothing_claimed() -> None:
    data = replace(made_up_study(), cells=(), metrics=made_up_metrics().iloc[:0])
    found = answer(data)
    assert found.text() == "No answer yet: none of the 9 cells has a phase SSIM on the test split."
    assert found.details == ()
    assert "not run yet: every cell" in found.caveats[0]


def test_train_scores_alone_are_no_answer() -> None:
    metrics = made_up_metrics()
    text = answer(replace(made_up_study(), metrics=metrics[metrics["split"] == "train"])).text()
    assert text.startswith("No answer yet")
    assert "they are no answer" in text


def test_cells_that_are_not_done_are_named_and_not_judged() -> None:
    data = with_cells_not_done(made_up_study())
    found = answer(data)
    assert "in 6 of 9 cells" in found.text()
    assert "sparse" not in found.text()
    assert "failed: sparse at 10⁴; not run yet: sparse at 10⁵; skipped: sparse at 10³" in found.caveats[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.2, 0.6, 0.7), "down to 10⁴ by `pinn`"),
        ((0.6, 0.6, 0.7), "down to 10³ by `pinn`"),
        ((0.6, 0.4, 0.7), "down to 10⁵ by `pinn`"),
        ((0.6, 0.6, 0.4), "no method reaches a phase SSIM of 0.50"),
    ],
)
def test_usefulness_must_hold_at_every_higher_dose(values: tuple, expected: str) -> None:
    data = _study({("pinn", d, "dense"): (v, v - 0.01, v + 0.01) for d, v in zip((1e3, 1e4, 1e5), values, strict=True)})
    assert expected in answer(data).text()


def test_a_reference_is_said_to_favour_the_methods_of_its_kind() -> None:
    seven = replace(made_up_study(methods=SEVEN), object_origin="reference", reference_kind="pty_chi")
    assert "favours `pty_chi` and `rpie`, as they repeat" in _all_text(seven)
    assert "favours `map`, as it repeats" not in _all_text(seven)
    unknown = _all_text(replace(made_up_study(), object_origin="reference"))
    assert "The object is not the truth" in unknown
    assert "favours" not in unknown
    assert "favours" not in _all_text(replace(made_up_study(), reference_kind="pty_chi"))


def test_only_methods_with_scores_are_mentioned() -> None:
    metrics = made_up_metrics()
    text = _all_text(replace(made_up_study(), metrics=metrics[metrics["method"] != "pinn_refined"]))
    assert "pinn_refined" not in text


def test_noise_fitting_needs_an_interval_below_zero() -> None:
    metrics = made_up_metrics()
    mine = (metrics["metric"] == "excess_nll") & (metrics["method"] == "pty_chi") & (metrics["view"] == "dense")
    for high, said in ((-0.01, True), (0.01, False)):
        changed = metrics.copy()
        changed.loc[mine, ["value", "value_low", "value_high"]] = (-0.05, -0.2, high)
        others = (metrics["metric"] == "excess_nll") & ~mine
        changed.loc[others, ["value", "value_low", "value_high"]] = (0.1, 0.05, 0.2)
        assert (
            "Noise was fitted by `pty_chi` in dense at every dose"
            in _all_text(replace(made_up_study(), metrics=changed))
        ) is said


@pytest.mark.parametrize(("bound", "passed", "hopeless"), [(0.01, False, False), (0.2, True, False), (0.9, True, True)])
def test_a_bound_that_is_passed_is_explained(bound: float, passed: bool, hopeless: bool) -> None:
    metrics = made_up_metrics()
    metrics = metrics[(metrics["view"] == "dense") & (metrics["dose"] == 1e3)].copy()
    for method, value in ((None, 0.1), ("flat", 0.3)):
        mine = (metrics["metric"] == "rmse") & (metrics["method"] == method if method else True)
        metrics.loc[mine, ["value", "value_low", "value_high"]] = value
    metrics.loc[metrics["metric"] == "phase_bound_rms", "value"] = bound
    mine = (metrics["metric"] == "rmse") & (metrics["method"] == "pinn")
    floors = metrics[mine].assign(metric="phase_bound_recovered", value=bound)
    text = _all_text(replace(made_up_study(), metrics=pd.concat([metrics, floors])))
    assert ("below the floor of the frequencies that were recovered: `pinn` in dense at 10³" in text) is passed
    assert ("In dense at 10³ the bound of all frequencies is above the error of a flat object" in text) is hopeless


def test_a_method_without_a_score_is_listed_with_its_reason() -> None:
    metrics = made_up_metrics().assign(note="")
    gone = (metrics["method"] == "pinn") & (metrics["view"] == "dense") & (metrics["dose"] == 1e3)
    metrics.loc[gone, ["value", "note"]] = (math.nan, "the object holds values that are not finite")
    assert "No score for `pinn` in dense at 10³: the object holds values that are not finite." in _all_text(
        replace(made_up_study(), metrics=metrics)
    )


def _over_objects(scores: dict[str, list[float]], **changes: object) -> ReportData:
    """One cell with these phase SSIMs of each method on as many objects, three of a kind and the rest of another."""
    rows = [
        {"dose": 1e3, "view": "dense", "split": "test", "seed": 1, "object": _OBJECTS[index], "method": method}
        | {"metric": "ssim", "part": "phase", "value": value}
        for method, values in scores.items()
        for index, value in enumerate(values)
    ]
    n = max(map(len, scores.values()))
    data = _study({("pinn", 1e3, "dense"): (0.6, 0.55, 0.65)})
    return replace(data, metrics=pd.DataFrame(rows), objects=_OBJECTS[:n], **changes)


_OBJECTS = ("mixed_1", "mixed_2", "mixed_3", "cells_1", "cells_2")
_SPREAD = [0.1, 0.3, 0.5, 0.7, 0.9]


def test_paired_differences_decide_what_objects_hide() -> None:
    """Means over objects whose intervals overlap widely, and a small difference that is nearly the same on each."""
    better = [value + gain for value, gain in zip(_SPREAD, (0.03, 0.04, 0.05, 0.04, 0.03), strict=True)]
    data = _over_objects({"pinn": better, "pty_chi": _SPREAD})
    found = answer(data)
    assert found.text().startswith(
        "Over 5 objects (3 mixed and 2 cells), by paired differences with 95 % t-intervals, judged by"
    )
    assert "`pinn` scores highest in dense at 10³, by 0.04 [0.03, 0.05] over the next." in found.text()
    assert "above; difference in phase SSIM +0.04 [+0.03, +0.05]." in " ".join(found.details)
    assert "95 % t-intervals over 5 objects" in " ".join(found.caveats)
    (row,) = headline(data, Scores(data.metrics, data.names)).rows
    assert [cell.css for cell in row[2:]] == ["best", ""]
    assert row[3].small == "−0.038 ± 0.010"


def test_differences_that_vary_in_sign_are_no_lead() -> None:
    either = [value + gain for value, gain in zip(_SPREAD, (0.2, -0.1, 0.2, -0.1, 0.1), strict=True)]
    text = _all_text(_over_objects({"pinn": either, "pty_chi": _SPREAD}))
    assert "`pinn` and `pty_chi` cannot be told apart" in text
    assert "scores highest" not in text


def test_what_was_run_on_fewer_objects_is_not_ranked_but_said() -> None:
    data = _over_objects({"pinn": _SPREAD, "baseline": _SPREAD, "pty_chi": [0.99]})
    text = _all_text(data)
    assert "Run on fewer objects than the others, and so not ranked: `pty_chi` in dense at 10³." in text
    assert "`pty_chi` scores highest" not in text
    (row,) = headline(data, Scores(data.metrics, data.names)).rows
    (few,) = [cell for cell in row if cell.text == "0.99"]
    assert few.css == "muted"
    assert "1 of 5 objects" in few.note


def test_one_object_and_noise_are_said_to_be_just_that() -> None:
    one = {("pinn", 1e3, "dense"): (0.6, 0.55, 0.65), ("pty_chi", 1e3, "dense"): (0.4, 0.35, 0.45)}
    assert answer(_study(one)).text().startswith("On this object, and for this noise, judged by")
    assert "block bootstrap over the object" in _all_text(_study(one))
    seeds = answer(replace(made_up_study((1, 2, 3))))
    assert seeds.text().startswith("On this object, over 3 noise seeds, judged by")
    assert "Another object may decide otherwise" in " ".join(seeds.caveats)


def _both_alignments(first: str) -> ReportData:
    """Two methods with two alignments; of ``pinn`` the given one stands first."""
    data = _study({("pinn", 1e3, "dense"): (0.5, 0.48, 0.52), ("pty_chi", 1e3, "dense"): (0.4, 0.38, 0.42)})
    full, scale = (data.metrics.assign(alignment=name, stands_first=name == "scale") for name in ("full", "scale"))
    full["value"] += 0.07
    both = pd.concat([full, scale], ignore_index=True)
    mine = both["method"] == "pinn"
    both.loc[mine, "stands_first"] = both.loc[mine, "alignment"] == first
    return replace(data, metrics=both)


def test_the_score_that_stands_first_is_told_and_the_other_one_beside_it() -> None:
    data = _both_alignments("scale")
    assert "by 0.10 over the next" in answer(data).text()
    assert "removing phase ramp and shift as well would add at most 0.07 (`p" in " ".join(answer(data).details)
    (row,) = headline(data, Scores(data.metrics, data.names)).rows
    assert [(cell.text, cell.small) for cell in row[2:]] == [
        ("0.50", "0.48–0.52\nfull 0.57"), ("0.40", "0.38–0.42\nfull 0.47"),
    ]  # fmt: skip
    assert "estimates of the method's own" not in _all_text(data)


def test_a_method_of_which_more_was_removed_is_named() -> None:
    data = _both_alignments("full")
    assert "by 0.17 over the next" in answer(data).text()
    assert "phase ramp and shift were removed as well: `pinn` in dense at 10³." in _all_text(data)
    (row,) = headline(data, Scores(data.metrics, data.names)).rows
    assert row[2].small.endswith("scale 0.50")


_INTERVAL = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 0.2)).map(lambda p: (p[0], p[0] - p[1], p[0] + p[1]))
_CELLS = st.tuples(st.sampled_from(NAMES), st.sampled_from((1e3, 1e4)), st.sampled_from(("dense", "sparse")))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_CELLS, _INTERVAL, min_size=1))
def test_leads_are_claimed_exactly_where_the_intervals_are_apart(scores: dict) -> None:
    data = _study(scores)
    claimed = re.findall(r"`(\w+)` scores highest in (.+?), by", answer(data).text())
    leads: dict[str, int] = {}
    for dose, view in {(d, v) for _, d, v in scores}:
        found = {m: interval for (m, d, v), interval in scores.items() if (d, v) == (dose, view)}
        for method, (_, low, _) in found.items():
            if len(found) > 1 and all(low > high for other, (_, _, high) in found.items() if other != method):
                leads[method] = leads.get(method, 0) + 1
    assert {method for method, _ in claimed} == set(leads)
    marked = [cell.css for row in headline(data, Scores(data.metrics, data.names)).rows for cell in row[2:]]
    assert marked.count("best") == sum(leads.values())


def test_a_refinement_that_changed_nothing_is_said() -> None:
    metrics = made_up_metrics()
    plain = metrics[metrics["method"] == "pinn"]
    others = metrics[metrics["method"] != "pinn_refined"]
    same = pd.concat([others, plain.assign(method="pinn_refined")])
    expected = "`pinn_refined` is `pinn` unchanged"
    assert expected in _all_text(replace(made_up_study(), metrics=same))
    assert expected not in _all_text(made_up_study())


def test_a_result_that_is_the_one_it_starts_from_is_said_whatever_the_names() -> None:
    start, later = MethodRole("first", "any", ""), MethodRole("second", "any", "", starts_from="first")
    scores = {(m, 1e3, "dense"): (0.5, 0.45, 0.55) for m in ("first", "second")}
    data = _study(scores, methods=(later, start))
    pearson = data.metrics.assign(metric="pearson")
    data = replace(data, metrics=pd.concat([data.metrics, pearson]))
    assert "`second` is `first` unchanged in dense at 10³" in _all_text(data)
    unrelated = replace(data, methods=(replace(later, starts_from=None), start))
    assert "unchanged" not in _all_text(unrelated)


def test_divergence_is_said_once_with_its_reason_and_never_ranked() -> None:
    data = with_divergence(made_up_study(methods=SEVEN), "rpie", "dense", "diverged: its objective is not finite")
    text = _all_text(data)
    assert "`rpie` diverged in dense at every dose (its objective is not finite): not scored, not ranked" in text
    assert "No score for `rpie`" not in text
    assert "`rpie` were not scored" not in text
    scores = Scores(data.metrics, data.names)
    assert all("rpie" not in dict(rank(scores, (dose, "dense"))) for dose in data.doses)
    cells = {row[0].text: row[2 + data.names.index("rpie")].text for row in headline(data, scores).rows}
    assert cells["dense"] == "diverged"
    assert cells["sparse"] != "diverged"


def test_a_study_in_which_everything_diverged_has_no_answer_but_says_so() -> None:
    data = made_up_study(methods=TWO_CLASSICAL)
    for role in TWO_CLASSICAL:
        for view in VIEWS:
            data = with_divergence(data, role.name, view)
    found = answer(data)
    assert found.text().startswith("No answer yet")
    assert "`map` diverged in every cell" in " ".join(found.caveats)
    assert "`pty_chi` diverged in every cell" in " ".join(found.caveats)


def test_a_learned_result_below_flat_is_marked_where_its_note_says_so() -> None:
    data = made_up_study()
    mine = (data.metrics["method"] == "pinn") & (data.metrics["view"] == "sparse") & (data.metrics["dose"] == 1e3)
    noted = data.metrics.assign(note="")
    noted.loc[mine & (noted["metric"] == "excess_nll"), "note"] = WORSE_THAN_FLAT
    data = replace(data, metrics=noted)
    assert "Explains the counts less well than a flat object (‡ in the table): `pinn` in sparse at 10³." in _all_text(
        data
    )
    marked = [cell.text for row in headline(data, Scores(noted, NAMES)).rows for cell in row if "‡" in cell.text]
    assert len(marked) == 1
    assert "‡" not in _all_text(made_up_study())


def test_every_learned_method_stands_beside_those_without_a_network_and_nobody_else() -> None:
    details = " ".join(answer(made_up_study()).details)
    for method in ("pinn", "pinn_refined", "baseline"):
        assert f"`{method}` against `pty_chi`" in details
    assert "`pty_chi` against" not in details
    assert answer(made_up_study(methods=TWO_CLASSICAL)).details == ()


def test_details_do_not_grow_with_the_pairs_of_methods() -> None:
    learned = sum(role.learned for role in TEN)
    assert len(answer(made_up_study(methods=TEN)).details) <= 2 * learned + 1


def test_the_best_of_many_rivals_is_the_one_that_counts() -> None:
    learned = MethodRole("net", "any", "", trains="view", learns_from="counts", learned=True)
    rivals = tuple(MethodRole(name, "any", "") for name in ("one", "two", "three"))
    values = {"net": 0.5, "one": 0.1, "two": 0.8, "three": 0.3}
    scores = {(m, 1e3, "dense"): (v, v - 0.01, v + 0.01) for m, v in values.items()}
    text = _all_text(_study(scores, methods=(learned, *rivals)))
    assert (
        "`net` against the best method without a network, dense at 10³: below; difference in phase SSIM −0.30." in text
    )


def test_who_learned_from_the_object_is_said_of_every_such_method_and_of_no_other() -> None:
    text = _all_text(made_up_study(methods=TEN))
    expected = "`baseline` (view baseline, 498 patterns in the median) learned with the true object as target, `pinn` ("
    assert expected in text
    assert "`for_the_probe` (" not in text, "it knows other objects, not this one"
    counts_alone = replace(
        made_up_study(), methods=tuple(r for r in made_up_study().methods if r.learns_from != "truth")
    )
    assert "as target" not in _all_text(counts_alone)
