"""The gate: what is missing, changed, failed or stale is refused, in any run."""

import random

import pytest

from fly64_assets.orchestration.catalog.gate import GateRefusedError, open_partition
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder, flip_bit
from fly64_assets_tests.orchestration.conftest import three_by_three

BUNDLE = PartitionId("trained_bundle", "1000|dense")
ASSETS = tuple(StudyGraph(three_by_three()).nodes)


def first_partition(catalog: CatalogBuilder, asset: str) -> PartitionId:
    return catalog.graph.partitions(asset)[0]


def test_an_untouched_partition_passes_and_gives_its_files(catalog: CatalogBuilder) -> None:
    entry = catalog.materialize(BUNDLE)
    opened = open_partition(catalog.instance, catalog.data_root, BUNDLE)
    assert opened.data_version == entry.data_version
    assert opened.path("file.bin").read_bytes() == b"trained_bundle[1000|dense]" * 50


def test_a_missing_partition_is_named_with_the_command_that_makes_it(catalog: CatalogBuilder) -> None:
    with pytest.raises(GateRefusedError) as refusal:
        open_partition(catalog.instance, catalog.data_root, BUNDLE)
    assert "trained_bundle[1000|dense] has not been materialized" in str(refusal.value)
    assert "dagster asset materialize --select trained_bundle --partition '1000|dense'" in str(refusal.value)


def test_a_changed_file_is_refused_with_both_digests(catalog: CatalogBuilder) -> None:
    entry = catalog.materialize(BUNDLE)
    path = catalog.data_root / BUNDLE.folder / "file.bin"
    flip_bit(path, 5)
    with pytest.raises(GateRefusedError, match="does not match the catalog") as refusal:
        open_partition(catalog.instance, catalog.data_root, BUNDLE)
    from fly64_assets.storage import sha256_of

    assert entry.files["file.bin"].sha256 in str(refusal.value)
    assert sha256_of(path) in str(refusal.value)
    assert BUNDLE.command in str(refusal.value)


@pytest.mark.parametrize("change", ["deleted", "truncated", "grown", "replaced by a link"])
def test_other_changes_are_refused_too(catalog: CatalogBuilder, change: str) -> None:
    catalog.materialize(BUNDLE)
    path = catalog.data_root / BUNDLE.folder / "file.bin"
    content = path.read_bytes()
    if change == "deleted":
        path.unlink()
    elif change == "truncated":
        path.write_bytes(content[:-1])
    elif change == "grown":
        path.write_bytes(content + b"x")
    else:
        path.unlink()
        path.symlink_to("/etc/hostname")
    with pytest.raises(GateRefusedError, match="does not match the catalog"):
        open_partition(catalog.instance, catalog.data_root, BUNDLE)


def test_a_marker_of_a_skip_is_refused_once_it_was_changed(catalog: CatalogBuilder) -> None:
    item = PartitionId("reconstruction/pinn", "1000|baseline")
    catalog.materialize(item, {files.NOT_HERE: b'{"reason": "no place here"}'}, skip_reason="no place here")
    assert open_partition(catalog.instance, catalog.data_root, item).skip_reason == "no place here"
    flip_bit(catalog.data_root / item.folder / files.NOT_HERE, 3)
    with pytest.raises(GateRefusedError, match="does not match the catalog"):
        open_partition(catalog.instance, catalog.data_root, item)


@pytest.mark.parametrize("asset", ASSETS)
def test_every_single_bit_flip_of_every_kind_of_file_is_found(catalog: CatalogBuilder, asset: str) -> None:
    item = first_partition(catalog, asset)
    catalog.materialize(item)
    path = catalog.data_root / item.folder / "file.bin"
    draw = random.Random(7)
    for _ in range(25):
        bit = draw.randrange(path.stat().st_size * 8)
        flip_bit(path, bit)
        with pytest.raises(GateRefusedError):
            open_partition(catalog.instance, catalog.data_root, item)
        flip_bit(path, bit)
    open_partition(catalog.instance, catalog.data_root, item)


def test_a_failed_blocking_check_holds_in_later_runs_until_a_rebuild(catalog: CatalogBuilder) -> None:
    catalog.materialize(BUNDLE, passed=False)
    said = r"is blocked: (blocking check \w+ failed: made to fail(; )?)+\. Rebuild it"
    with pytest.raises(GateRefusedError, match=said):
        open_partition(catalog.instance, catalog.data_root, BUNDLE)
    open_partition(catalog.instance, catalog.data_root, BUNDLE, require_checks=False)
    catalog.materialize(BUNDLE)
    open_partition(catalog.instance, catalog.data_root, BUNDLE)


def test_a_check_of_an_earlier_version_does_not_vouch_for_a_later_one(catalog: CatalogBuilder) -> None:
    first = catalog.materialize(BUNDLE)
    second = catalog.materialize(BUNDLE, content=b"other")
    catalog.check(BUNDLE, first, passed=True, again=True)
    with pytest.raises(GateRefusedError, match="is stale: it judged an earlier version"):
        open_partition(catalog.instance, catalog.data_root, BUNDLE)
    catalog.check(BUNDLE, second, passed=True, again=True)
    open_partition(catalog.instance, catalog.data_root, BUNDLE)


def test_a_later_run_that_failed_before_its_checks_takes_no_verdict_away(catalog: CatalogBuilder) -> None:
    catalog.materialize(BUNDLE)
    catalog.plan_checks(BUNDLE)
    open_partition(catalog.instance, catalog.data_root, BUNDLE)
    catalog.materialize(BUNDLE, passed=False)
    catalog.plan_checks(BUNDLE)
    with pytest.raises(GateRefusedError, match="failed: made to fail"):
        open_partition(catalog.instance, catalog.data_root, BUNDLE)


def test_verdicts_of_another_partition_do_not_count(catalog: CatalogBuilder) -> None:
    catalog.materialize(PartitionId("trained_bundle", "1000|sparse"), passed=False)
    catalog.materialize(BUNDLE)
    open_partition(catalog.instance, catalog.data_root, BUNDLE)
