"""The study as records: what they accept and refuse, whoever makes them, and what follows from them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from fly64_assets.science.methods.record import METHOD_KINDS
from fly64_assets.science.options import Options, TrainingOptions, ViewOptions
from fly64_assets.study import SHIPPED_STUDIES, Study, data_root_of, load_study
from fly64_assets.study.method_entry import MethodEntry
from fly64_assets.study.schema import ScheduleOptions

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


def changed(**fields: object) -> Study:
    return load_study(str(TINY), fields)


@pytest.mark.parametrize("path", sorted(SHIPPED_STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_named_like_its_file(path: Path) -> None:
    assert load_study(path.stem).name == path.stem


class Plain(Options):
    number: float = 0.5
    count: int = 1
    flag: bool = False
    text: str = ""
    pair: tuple[int, int] = (1, 2)
    maybe: int | None = None
    named: dict[str, float] = Field(default_factory=dict)


@pytest.mark.parametrize(
    "fields",
    [
        {"number": True},
        {"number": "0.5"},
        {"number": float("nan")},
        {"count": True},
        {"count": 1.0},
        {"count": "1"},
        {"flag": 1},
        {"flag": "true"},
        {"text": 1},
        {"pair": [1, 2.0]},
        {"pair": [1, 2, 3]},
        {"maybe": 2.0},
        {"named": {"a": True}},
        {"other": 1},
    ],
)
def test_no_scalar_takes_a_value_of_another_type(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Plain.model_validate(fields)


def test_a_whole_number_is_a_number_and_a_list_is_a_tuple() -> None:
    found = Plain.model_validate({"number": 1, "pair": [3, 4], "maybe": None, "named": {"a": 2}})
    assert (found.number, found.pair, found.named) == (1.0, (3, 4), {"a": 2.0})
    assert isinstance(found.number, float)
    assert Plain.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("gridsize", [True, 2.0, "2", 3, 0])
def test_a_choice_of_whole_numbers_takes_nothing_else(gridsize: object) -> None:
    with pytest.raises(ValidationError):
        ViewOptions.model_validate({"gridsize": gridsize})


def places_of(content: object) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as caught:
        Study.model_validate(content)
    return [fault["loc"] for fault in caught.value.errors()]


def test_faults_of_a_methods_options_keep_their_place() -> None:
    study = changed().model_dump(mode="json")
    study["methods"]["pinn"]["options"] |= {"epochs": 0, "colour": "red"}
    study["methods"]["map"]["options"]["passes"] = True
    assert places_of(study) == [
        ("methods", "pinn", "options", "epochs"),
        ("methods", "pinn", "options", "colour"),
        ("methods", "map", "options", "passes"),
    ]


def test_faults_of_several_methods_are_told_at_once() -> None:
    study = changed().model_dump(mode="json")
    study["methods"]["pinn_refined"]["starts_from"] = "nobody"
    study["methods"]["baseline"]["starts_from"] = "pinn"
    assert places_of(study) == [("methods", "pinn_refined", "starts_from"), ("methods", "baseline", "starts_from")]


def test_a_methods_options_are_those_of_its_kind() -> None:
    entry = MethodEntry.model_validate({"kind": "unrolled", "options": {"width": 24}})
    assert isinstance(entry.options, METHOD_KINDS.get("unrolled").options)
    assert entry.options.model_dump()["width"] == 24
    assert MethodEntry.model_validate({"kind": "map"}).options == METHOD_KINDS.get("map").options()
    with pytest.raises(ValidationError, match="options of kind map are MapOptions, got TrainingOptions"):
        MethodEntry.model_validate({"kind": "map", "options": TrainingOptions()})


def test_the_view_that_trains_a_method_is_its_own_unless_named() -> None:
    study = changed()
    assert study.training_views("pinn") == ["dense", "sparse"]
    assert study.training_views("baseline") == ["baseline"]
    assert study.training_views("map") == []
    assert [study.trains(view) for view in study.views] == ["baseline", "pinn", "pinn"]
    second = {"kind": "unrolled", "options": {"width": 24}}
    named = changed(methods={"wide": second}, views={"dense": {"trains": "wide"}})
    assert [named.trains(view) for view in named.views] == ["baseline", "wide", "pinn"]


def test_every_field_of_a_study_is_described_and_has_a_schema() -> None:
    schema = Study.model_json_schema()
    assert [name for name, field in schema["properties"].items() if not field.get("description")] == []
    assert schema["$defs"]["ViewOptions"]["properties"]["gridsize"]["enum"] == [1, 2]


def test_the_cron_line_is_judged() -> None:
    assert ScheduleOptions(cron="@daily").cron == "@daily"
    with pytest.raises(ValidationError, match="expected five fields"):
        ScheduleOptions(cron="daily")


def test_changes_are_validated_anew() -> None:
    study = changed()
    assert study.with_changes(seeds=[4, 5]).seeds == (4, 5)
    with pytest.raises(ValidationError, match="given twice"):
        study.with_changes(seeds=[4, 4])


def test_the_data_root_is_the_studys_own_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLY64_DATA_ROOT", raising=False)
    assert data_root_of(changed()).parts[-2:] == ("data", "tiny")
    monkeypatch.setenv("FLY64_DATA_ROOT", str(tmp_path / "x"))
    assert data_root_of(changed()) == tmp_path / "x"
