"""`fly64 study` on the tiny study, as a user runs it: complete, again, killed, tampered with, failing."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fly64_assets.orchestration.catalog.entries import latest_entry
from fly64_assets.orchestration.catalog.gate import GateRefusedError, open_partition
from fly64_assets.orchestration.catalog.instance import study_instance
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.runs import execute_partition
from fly64_assets.storage import sha256_of
from fly64_assets.study import load_study
from fly64_assets_tests.cli.in_process import fly64 as fly64_in_process
from fly64_assets_tests.end_to_end.dagster_ui import study_environment
from fly64_assets_tests.orchestration.catalog_builder import flip_bit
from fly64_assets_tests.plugins.installation import install, with_packages

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


def environment(root: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLY64_", "DAGSTER_"))}
    return {**kept, "FLY64_DATA_ROOT": str(root), "FLY64_STUDY": str(TINY), "OMP_NUM_THREADS": "1"}


def fly64(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fly64_assets.cli", *arguments]
    return subprocess.run(command, env=environment(root), capture_output=True, text=True, timeout=400, check=False)


def fly64_here(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, for what only looks."""
    return fly64_in_process(*arguments, FLY64_DATA_ROOT=str(root), FLY64_STUDY=str(TINY))


def dagster(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dagster", *arguments],
        env=study_environment(root, str(TINY)),
        cwd=root,  # the activated shell may be anywhere
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def bundles(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): sha256_of(path) for path in sorted(root.rglob("wts.h5.zip"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One complete run that the tests of this module look at; those that change files restore them."""
    root = tmp_path_factory.mktemp("tiny")
    return root, fly64(root, "study", "--jobs", "2")


@pytest.mark.slow
def test_it_materializes_every_asset_and_says_where_the_results_are(finished) -> None:
    root, result = finished
    assert result.returncode == 0, result.stdout + result.stderr
    cell = Path("dose_1000/dense")
    expected = [
        "scan/scan.npz",
        "simulated_dataset/dose_1000/patched_train.npz",
        "simulated_dataset/dose_1000/patched_test.npz",
        f"overlap_view/{cell}/dense_train.npz",
        f"overlap_view/{cell}/dense_test.npz",
        f"overlap_view/{cell}/metrics_bundle.json",
        f"trained_bundle/{cell}/gs2/wts.h5.zip",
        "trained_bundle/dose_1000/baseline/gs1/wts.h5.zip",
        *(
            f"reconstruction/{m}/{cell}/{m}_{s}.h5"
            for m in ("pinn", "pinn_refined", "baseline", "pty_chi", "map")
            for s in ("train", "test")
        ),
        *(f"reconstruction/pty_chi/{cell}/trace/pty_chi_test_step_{n:05d}.h5" for n in (0, 1, 2, 3)),
        "reconstruction/pinn/dose_1000/baseline/not_here.json",
        f"comparison_metrics/{cell}/comparison_metrics.csv",
        f"comparison_metrics/{cell}/frc_curves.csv",
        f"comparison_metrics/{cell}/trace.csv",
        f"comparison_metrics/{cell}/costs.csv",
        f"comparison_metrics/{cell}/comparison.png",
        "study_report/report.html",
        "study_report/metrics.csv",
        "study_report/metrics.parquet",
    ]
    assert [name for name in expected if not (root / name).is_file()] == []
    assert f"report {root}/study_report/report.html" in result.stdout
    for name, digest in bundles(root).items():
        assert f"bundle {name}  sha256 {digest}" in result.stdout


@pytest.mark.slow
def test_the_manifest_names_every_job_with_relative_paths_and_true_digests(finished) -> None:
    root, _ = finished
    jobs = json.loads((root / "trained_bundle/training_manifest.json").read_text())["jobs"]
    by_view = {job["view"]: job for job in jobs}
    assert {view: job["status"] for view, job in by_view.items()} == {
        "baseline": "completed",
        "dense": "completed",
        "sparse": "skipped",
    }
    for view in ("baseline", "dense"):
        path = root / by_view[view]["bundle_path"]
        assert not Path(by_view[view]["bundle_path"]).is_absolute()
        assert sha256_of(path) == by_view[view]["bundle_sha256"]
        assert path.stat().st_size == by_view[view]["bundle_size_bytes"]


@pytest.mark.slow
def test_a_view_with_too_few_positions_is_a_recorded_skip_with_its_reason(finished) -> None:
    root, result = finished
    skipped = json.loads((root / "trained_bundle/skip_summary.json").read_text())["skipped"]
    assert [entry["view"] for entry in skipped] == ["sparse"]
    assert skipped[0]["reason"] in result.stdout
    assert skipped[0]["reason"].split(";")[0] in (root / "study_report/report.html").read_text().replace("&#39;", "'")


@pytest.mark.slow
def test_the_same_command_again_recomputes_nothing(finished) -> None:
    root, _ = finished
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.[hnc][5ps]*")}
    begun = time.monotonic()
    result = fly64(root, "study")
    assert result.returncode == 0
    assert "0 partitions computed" in result.stdout
    assert time.monotonic() - begun < 30
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.[hnc][5ps]*")} == before
    assert "0 of" in fly64_here(root, "study", "--dry-run").stdout


KINDS = {
    "dataset": ("simulated_dataset/dose_1000/patched_train.npz", "simulated_dataset[1000]", "overlap_view"),
    "view": ("overlap_view/dose_1000/dense/dense_train.npz", "overlap_view[1000|dense]", "trained_bundle"),
    "bundle": (
        "trained_bundle/dose_1000/dense/gs2/wts.h5.zip",
        "trained_bundle[1000|dense]",
        "reconstruction/pinn",
    ),
    "product": (
        "reconstruction/pinn/dose_1000/dense/pinn_test.h5",
        "reconstruction/pinn[1000|dense]",
        "comparison_metrics",
    ),
}


@contextlib.contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    flip_bit(path, bit)
    try:
        yield
    finally:
        flip_bit(path, bit)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_tampered_file_stops_its_readers_in_a_new_run_whatever_the_sidecar_says(finished, kind: str) -> None:
    root, _ = finished
    name, partition, reader = KINDS[kind]
    path, manifest = root / name, root / "trained_bundle" / "training_manifest.json"
    true_digest, true_manifest = sha256_of(path), manifest.read_text()
    study = load_study(str(TINY))
    with flipped(path, 4001), study_instance(root, study.name) as instance:
        manifest.write_text(true_manifest.replace(true_digest, sha256_of(path)))
        outcome = execute_partition(
            build_definitions(study, root), instance, PartitionId(reader, "1000|dense"), run_config={}
        )
        manifest.write_text(true_manifest)
        assert not outcome.success
        assert outcome.cause.startswith(f"{partition} does not match the catalog")
        assert f"has sha256 {sha256_of(path)}, expected {true_digest}" in outcome.cause
        assert "Rebuild it with: dagster asset materialize --select" in outcome.cause


@pytest.mark.slow
def test_bare_dagster_says_in_its_last_line_that_a_bundle_was_changed_and_verify_names_it(finished) -> None:
    root, _ = finished
    assert "0 missing or changed, 0 foreign or stale" in fly64_here(root, "verify").stdout
    bundle = root / "trained_bundle/dose_1000/dense/gs2/wts.h5.zip"
    with flipped(bundle, 4001):
        result = dagster(root, "asset", "materialize", "--select", "reconstruction/pinn")
        assert result.returncode != 0
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith("fly64: trained_bundle[1000|dense] does not match the catalog")
        assert sha256_of(bundle) in last
        verified = fly64_here(root, "verify")
        assert verified.returncode == 1
        assert f"trained_bundle[1000|dense]: {bundle} has sha256 {sha256_of(bundle)}" in verified.stdout


@pytest.mark.slow
def test_a_thousand_single_bit_flips_over_every_kind_of_file_are_all_found(finished) -> None:
    root, _ = finished
    draw = random.Random(7)
    with study_instance(root, "tiny") as instance:
        files = [
            (item, root / item.folder / name)
            for item in StudyGraph(load_study(str(TINY))).walk_order()
            if (entry := latest_entry(instance, item)) is not None
            for name in entry.files
        ]
        assert {path.suffix for _, path in files} >= {
            ".npz",
            ".zip",
            ".h5",
            ".json",
            ".csv",
            ".png",
            ".html",
            ".parquet",
        }
        for number in range(1000):
            item, path = files[number % len(files)]
            position, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
            with path.open("r+b") as stream:
                stream.seek(position)
                byte = stream.read(1)[0]
                stream.seek(position)
                stream.write(bytes([byte ^ 1 << bit]))
                stream.flush()
                with pytest.raises(GateRefusedError, match="does not match the catalog"):
                    open_partition(instance, root, item)
                stream.seek(position)
                stream.write(bytes([byte]))
        for item in dict(files):
            open_partition(instance, root, item)


@pytest.mark.trust
def test_another_run_in_another_folder_gives_the_digest_of_every_partition(finished, tmp_path: Path) -> None:
    """Thresholds, words and how runs are executed are other ones: they are in no record and change no result."""
    root, _ = finished
    content = yaml.safe_load(TINY.read_text())
    content |= {"report": {"title": "Another"}, "checks": {"dose_tolerance": 0.2}, "execution": {"logger": "none"}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    variables = {**environment(tmp_path / "root"), "FLY64_STUDY": str(tmp_path / "other.yaml")}
    command = [sys.executable, "-m", "fly64_assets.cli", "study", "--jobs", "2"]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    found = {}
    for place in (root, tmp_path / "root"):
        with study_instance(place, "tiny") as instance:
            items = StudyGraph(load_study(str(TINY))).select(["1000"], ["baseline", "dense", "sparse"])
            entries = {str(item): latest_entry(instance, item) for item in items}
            found[place] = {name: entry.data_version for name, entry in entries.items() if entry is not None}
    assert len(found[root]) == 27
    assert found[root] == found[tmp_path / "root"]


@pytest.mark.slow
def test_bare_dagster_materializes_the_default_partition(finished) -> None:
    root, _ = finished
    before = bundles(root)
    result = dagster(root, "asset", "materialize", "--select", "trained_bundle")
    assert result.returncode == 0, result.stderr[-2000:]
    digest = before["trained_bundle/dose_1000/dense/gs2/wts.h5.zip"]
    assert "dense (dose=1e3) → Bundle: trained_bundle/dose_1000/dense/gs2/wts.h5.zip" in result.stdout
    assert f"dense (dose=1e3) → SHA256: {digest}" in result.stdout
    assert bundles(root) == before


@pytest.mark.slow
def test_a_missing_upstream_is_said_in_one_clear_last_line(tmp_path: Path) -> None:
    result = dagster(tmp_path, "asset", "materialize", "--select", "trained_bundle")
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        "fly64: overlap_view[1000|dense] has not been materialized. "
        "Make it with: dagster asset materialize --select overlap_view --partition '1000|dense'"
    )


def start_until_a_checkpoint(root: Path) -> subprocess.Popen[bytes]:
    """`fly64 study` in a training; its signals are those of a terminal, whatever runs the tests."""
    before = {path: path.stat().st_mtime_ns for path in (root / ".work").rglob("*.ckpt*")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fly64_assets.cli", "study", "--views", "dense"],
        env=environment(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = {path: path.stat().st_mtime_ns for path in (root / ".work").rglob("*.ckpt*")}
        if set(found.items()) - set(before.items()):
            return process
        time.sleep(0.1)
    raise AssertionError("no checkpoint appeared")


@pytest.mark.trust
def test_interrupted_it_stops_at_once_and_cleanly_and_killed_it_goes_on_to_the_same_digest(
    finished, tmp_path: Path
) -> None:
    root, _ = finished
    process = start_until_a_checkpoint(tmp_path)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    assert process.wait() != 0
    assert time.monotonic() - begun < 10
    assert list(tmp_path.rglob(".staging-*")) == []
    manifest = (tmp_path / "trained_bundle/training_manifest.json").read_text()
    assert '"running"' not in manifest
    assert '"failed"' in manifest
    with study_instance(tmp_path, "tiny") as instance:
        assert all(run.is_finished for run in instance.get_runs())
    process = start_until_a_checkpoint(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    result = fly64(tmp_path, "study", "--views", "dense")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "was interrupted and is marked as failed" in result.stdout
    expected = bundles(root)
    assert bundles(tmp_path) == {name: expected[name] for name in expected if "sparse" not in name}


@pytest.mark.slow
def test_a_failed_partition_is_named_the_others_go_on_and_a_diverged_method_stands_beside_them(tmp_path: Path) -> None:
    content = yaml.safe_load(TINY.read_text())
    content["methods"] = {
        "map": {"kind": "map", "options": {"passes": 8}},
        "runaway": {"kind": "diverging"},
        "picky": {"kind": "failing", "options": {"most_patterns": 60}},
    }
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(content))
    root = tmp_path / "root"
    variables = with_packages(install(tmp_path, "misbehaving"), environment(root))
    variables |= {"FLY64_STUDY": str(tmp_path / "broken.yaml")}
    command = [sys.executable, "-m", "fly64_assets.cli", "study", "--views", "baseline,dense"]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 1
    assert "FAILED reconstruction/picky[1000|baseline]" in result.stdout
    assert "patterns are too many for me, at most 60" in result.stdout
    assert "retry with: dagster asset materialize --select reconstruction/picky" in result.stdout
    assert "NOT RUN comparison_metrics[1000|baseline]: waits for reconstruction/picky" in result.stdout
    assert "trained_bundle" not in result.stdout
    report = (root / "study_report/report.html").read_text()
    assert "patterns are too many for me" in report
    metrics = pd.read_csv(root / "comparison_metrics/dose_1000/dense/comparison_metrics.csv")
    diverged = metrics[(metrics["method"] == "runaway") & (metrics["split"] == "test")].set_index("metric")
    assert diverged.loc["ssim", "value"].isna().all()
    assert diverged["note"].str.startswith("diverged").all()
    beside = metrics[metrics["method"] == "map"].set_index("metric")
    assert beside.loc["ssim", "value"].notna().all()
    assert (beside["value"].notna() | beside["note"].str.startswith("undefined", na=False)).all()
    assert "diverged" in report
