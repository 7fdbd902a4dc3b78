from dataclasses import replace

import pytest

from fly64_assets.science.records import MethodRole
from fly64_assets.science.report.roles import described, favoured, training_sentences, unequal_training
from fly64_assets.science.report.scores import Scores
from fly64_assets_tests.science.report.made_up_study import SEVEN, TEN, TWO_CLASSICAL, made_up_study

NETWORK = MethodRole("net", "kind", "a network", trains="view", learns_from="counts", learned=True)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (NETWORK, "a network; trained on the counts alone of each view, a network for each"),
        (replace(NETWORK, learns_from="truth"), "a network; trained on the truth of each view, a network for each"),
        (replace(NETWORK, trained_on="dense"), "a network; trained on the counts alone of view dense"),
        (replace(NETWORK, trains="probe"), "a network; trained once, for the probe, on counts alone"),
        (
            replace(NETWORK, trains="probe", learns_from="truth"),
            "a network; trained once, for the probe, on objects of which it knows the truth",
        ),
        (MethodRole("solver", "kind", "a solver"), "a solver; starts from a flat object"),
        (MethodRole("solver", "kind", "a solver", starts_from="other"), "a solver; starts from `other`"),
        (
            MethodRole("solver", "kind", "a solver", starts_from="net", learned=True),
            "a solver; starts from `net` and rests on its network",
        ),
        (MethodRole("solver", "a kind", ""), "a kind; starts from a flat object"),
    ],
)
def test_a_method_is_described_by_what_was_trained_and_where_it_starts(role: MethodRole, expected: str) -> None:
    assert described(role, made_up_study()) == expected


def test_with_a_reference_nobody_learned_from_the_truth_of_the_scan() -> None:
    data = replace(made_up_study(), object_origin="reference")
    text = described(replace(NETWORK, learns_from="truth"), data)
    assert text == "a network; trained on the reference of each view, a network for each"


def test_training_is_told_of_every_method_once() -> None:
    for methods in (TEN, SEVEN, TWO_CLASSICAL, (NETWORK,)):
        sentences = training_sentences(made_up_study(methods=methods))
        told = [name for sentence in sentences for name in sentence.split("`")[1::2]]
        assert sorted(told) == sorted(role.name for role in methods)


def test_unequal_training_is_said_only_where_there_is_something_to_compare_with() -> None:
    unequal = "not one of equals"
    taught = replace(NETWORK, learns_from="truth")
    assert unequal in " ".join(training_sentences(made_up_study(methods=SEVEN)))
    for methods in (TWO_CLASSICAL, (NETWORK,), (taught,), (taught, replace(taught, name="other"))):
        assert unequal not in " ".join(training_sentences(made_up_study(methods=methods)))


def test_a_method_that_was_not_scored_is_not_said_to_have_learned() -> None:
    data = made_up_study()
    scores = Scores(data.metrics[data.metrics["method"] != "baseline"], data.names)
    assert unequal_training(data, scores) == []
    (sentence,) = unequal_training(data, Scores(data.metrics, data.names))
    assert sentence.endswith(
        "learned with the true object as target, `pinn` (192 patterns in the median) from counts alone."
    )


def test_two_supervised_networks_alone_are_not_set_against_counts() -> None:
    taught = tuple(replace(NETWORK, name=name, learns_from="truth") for name in ("one", "two"))
    data = made_up_study(methods=taught)
    (sentence,) = unequal_training(data, Scores(data.metrics, data.names))
    assert "`one`" in sentence and "`two`" in sentence
    assert "from counts alone" not in sentence


def test_a_reference_favours_the_methods_of_the_kind_that_made_it() -> None:
    data = replace(made_up_study(methods=SEVEN), reference_kind="map")
    assert favoured(data) == []
    assert favoured(replace(data, object_origin="reference")) == ["pinn_refined", "map"]
    assert favoured(replace(data, object_origin="reference", reference_kind="")) == []
