"""What an asset partition may read of a study: a change of a field changes the records of those that read it."""

from pathlib import Path

import pytest

from fly64_assets.study import Study, load_study
from fly64_assets.study import parameters as of

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
DOSE, VIEW = 1000.0, "dense"


def changed(**fields: object) -> Study:
    return load_study(str(TINY), fields)


def digests(study: Study) -> dict[str, str]:
    records = {
        "scan": of.scan_parameters(study),
        "simulated_dataset": of.dataset_parameters(study, DOSE),
        "overlap_view": of.view_parameters(study, VIEW),
        "trained_bundle": of.training_parameters(study, DOSE, VIEW, study.trains(VIEW)),
        "comparison_metrics": of.comparison_parameters(study, DOSE, VIEW),
        **{
            f"reconstruction/{method}": of.reconstruction_parameters(study, DOSE, VIEW, method)
            for method in ("pinn", "pinn_refined", "baseline", "pty_chi", "map")
        },
    }
    return {name: record.digest for name, record in records.items()}


def differing(study: Study) -> set[str]:
    before, after = digests(changed()), digests(study)
    return {asset for asset in before if before[asset] != after[asset]}


def test_adding_a_dose_or_a_view_changes_no_record_of_the_others() -> None:
    assert differing(changed(doses=[1000, 10000, 5000])) == set()
    assert differing(changed(views={"extra": {"overlap": 0.5}})) == set()


def test_adding_a_method_changes_the_comparison_alone() -> None:
    assert differing(changed(methods={"again": {"kind": "map"}})) == {"comparison_metrics"}


@pytest.mark.parametrize(
    ("fields", "readers"),
    [
        ({"report": {"title": "Other"}}, set()),
        ({"checks": {"dose_tolerance": 0.1}}, set()),
        ({"execution": {"num_workers": 2}}, set()),
        ({"schedule": {"cron": "@daily"}}, set()),
        ({"scoring": {"bootstrap_samples": 20}}, {"comparison_metrics"}),
        ({"methods": {"pty_chi": {"options": {"epochs": 4}}}}, {"reconstruction/pty_chi"}),
        ({"methods": {"pinn": {"options": {"epochs": 3}}}}, {"trained_bundle", "reconstruction/pinn"}),
        ({"views": {"sparse": {"neighbor_count": 8}}}, set()),
        ({"split": {"shared_illumination_limit": 0.02}}, {"simulated_dataset"}),
        ({"scan": {"seed": 5}}, {"scan", "overlap_view", "comparison_metrics"}),
        ({"scan": {"probe": {"defocus_rad": 4.0}}}, {"scan"}),
    ],
)
def test_each_field_touches_exactly_the_assets_that_read_it(fields: dict, readers: set[str]) -> None:
    assert differing(changed(**fields)) == readers


def test_the_report_reads_what_every_other_asset_reads_and_its_own_words() -> None:
    before = of.report_parameters(changed()).digest
    assert of.report_parameters(changed(report={"title": "Other"})).digest != before
    assert of.report_parameters(changed(scan={"seed": 5})).digest != before
    assert of.report_parameters(changed(checks={"dose_tolerance": 0.1})).digest == before


def test_an_input_file_enters_the_scan_by_its_content(tmp_path: Path) -> None:
    source = tmp_path / "base.npz"
    scan = {"source": "base_npz", "file": str(source)}
    assert of.input_digest(changed(scan=scan)) == "absent"
    source.write_bytes(b"one")
    first = of.scan_parameters(changed(scan=scan)).digest
    source.write_bytes(b"other")
    assert of.scan_parameters(changed(scan=scan)).digest != first
