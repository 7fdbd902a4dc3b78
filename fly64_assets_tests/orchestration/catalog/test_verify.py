"""`fly64 verify` lists what is missing, changed, foreign or stale, and nothing else."""

from fly64_assets.orchestration.catalog.verify import verify_data_root
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder, flip_bit

VIEW, BUNDLE = PartitionId("overlap_view", "1000|dense"), PartitionId("trained_bundle", "1000|dense")


def test_a_report_over_the_doses_that_were_asked_for_is_not_stale(four_cells: CatalogBuilder) -> None:
    four_cells.materialize(PartitionId("study_report"))
    assert verify_data_root(four_cells.freshness()) == []


def test_every_kind_of_deviation_is_named(four_cells: CatalogBuilder) -> None:
    root = four_cells.data_root
    changed, foreign = root / BUNDLE.folder / "file.bin", root / VIEW.folder / "notes.txt"
    flip_bit(changed, 3)
    foreign.write_text("mine")
    missing = PartitionId("reconstruction/pty_chi", "1000|dense")
    (root / missing.folder / "file.bin").unlink()
    four_cells.materialize(PartitionId("simulated_dataset", "10000"), content=b"other photons")
    found = {(finding.kind, finding.where.split(":")[0]) for finding in verify_data_root(four_cells.freshness())}
    assert {("changed", str(BUNDLE)), ("missing", str(missing)), ("foreign", str(foreign))} <= found
    assert ("stale", "overlap_view[10000|baseline]") in found  # its upstream changed
    assert ("stale", "trained_bundle[10000|baseline]") in found  # below a stale one
    assert not any("1000|baseline" in where for kind, where in found if kind != "stale")
    assert not any("sparse" in where for _, where in found)
