"""The study file: shipped studies, faults, parameter hashes."""

from pathlib import Path

import pytest
import yaml

from fly64_assets.study import SHIPPED_STUDIES, Study, StudyError, data_root_of, load_study

TINY = Path(__file__).parent / "studies" / "tiny.yaml"
CELL = "1000|dense"
CELL_ASSETS = (
    "overlap_view",
    "trained_bundle",
    "network_reconstruction",
    "pty_chi_reconstruction",
    "comparison_metrics",
)


def changed(**fields: object) -> Study:
    return load_study(str(TINY), fields)


def hashes(study: Study) -> dict[str, str]:
    found = {asset: study.parameter_hash(asset, CELL) for asset in CELL_ASSETS}
    found["scan"] = study.parameter_hash("scan")
    found["simulated_dataset"] = study.parameter_hash("simulated_dataset", "1000")
    found["study_report"] = study.parameter_hash("study_report")
    return found


def differing(study: Study) -> set[str]:
    before, after = hashes(changed()), hashes(study)
    return {asset for asset in before if before[asset] != after[asset]}


@pytest.mark.parametrize("path", sorted(SHIPPED_STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_named_like_its_file(path: Path) -> None:
    assert load_study(path.stem).name == path.stem


def test_adding_a_dose_or_a_view_changes_no_hash() -> None:
    assert differing(changed(doses=[1000, 10000, 5000])) == set()
    assert differing(changed(views={"extra": {"overlap": 0.5}})) == set()


def test_each_parameter_touches_exactly_the_assets_that_read_it() -> None:
    assert differing(changed(report={"title": "Other"})) == {"study_report"}
    assert differing(changed(pty_chi={"epochs": 4})) == {"pty_chi_reconstruction"}
    assert differing(changed(scoring={"bootstrap_samples": 20})) == {"comparison_metrics"}
    assert differing(changed(views={"dense": {"neighbor_count": 8}})) == {"overlap_view", "trained_bundle"}
    assert differing(changed(views={"sparse": {"neighbor_count": 8}})) == set()
    assert differing(changed(training={"pinn": {"epochs": 3}})) == {"trained_bundle"}
    assert differing(changed(training={"supervised": {"epochs": 3}})) == set()
    assert differing(changed(training={"pinn": {"num_workers": 2}})) == set()
    assert differing(changed(scan={"seed": 5})) == {"scan"}
    assert differing(changed(split={"shared_illumination_limit": 0.02})) == {"simulated_dataset"}


def test_an_input_file_enters_the_scan_by_its_content(tmp_path: Path) -> None:
    source = tmp_path / "base.npz"
    source.write_bytes(b"one")
    scan = {"source": "base_npz", "file": str(source)}
    first = changed(scan=scan).parameter_hash("scan")
    source.write_bytes(b"two")
    assert changed(scan=scan).parameter_hash("scan") != first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"doses": []}, "doses must be a non-empty list"),
        ({"doses": [1000, 1000]}, "without repetition"),
        ({"doses": [-1]}, "greater than 0"),
        ({"name": "../x"}, "lower-case"),
        ({"views": {"Bad Name": {}}}, "view names"),
        ({"views": {"dense": {"overlap": 1.5}}}, "less than 1"),
        ({"views": {"dense": {"overlap": 0.5, "s_img": 0.5}}}, "give one of them"),
        ({"views": {"dense": {"neighbor_count": 4}}}, "OVERSAMPLING-001"),
        ({"views": {"baseline": {"gridsize": 2}}}, "baseline view has gridsize 1"),
        ({"default_doses": [7]}, "not among doses"),
        ({"dose": {"method": "thin"}}, "needs measured counts"),
        ({"scan": {"source": "measured"}}, "scan.file"),
        ({"colour": "red"}, "Extra inputs"),
        ({"training": {"pinn": {"epochs": 0}}}, "greater than or equal to 1"),
    ],
)
def test_a_fault_in_the_file_is_named(fields: dict, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        changed(**fields)
    assert str(TINY) in str(caught.value)


def test_what_is_no_study_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="quick"):
        load_study("nonexistent")
    listing = tmp_path / "list.yaml"
    listing.write_text(yaml.safe_dump([1, 2]))
    with pytest.raises(StudyError, match="expected a mapping"):
        load_study(str(listing))
    listing.write_text("a: [1")
    with pytest.raises(StudyError, match="not a YAML file"):
        load_study(str(listing))


def test_the_data_root_is_the_studys_own_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLY64_DATA_ROOT", raising=False)
    assert data_root_of(changed()).parts[-2:] == ("data", "tiny")
    monkeypatch.setenv("FLY64_DATA_ROOT", str(tmp_path / "x"))
    assert data_root_of(changed()) == tmp_path / "x"


def test_random_streams_are_named_and_repeatable() -> None:
    study = changed()
    assert study.rng("view", "dense").integers(1 << 30) == study.rng("view", "dense").integers(1 << 30)
    assert study.rng("view", "dense").integers(1 << 30) != study.rng("view", "sparse").integers(1 << 30)
