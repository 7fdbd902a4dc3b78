import json
from pathlib import Path

import pytest

from fly64_assets.orchestration.catalog.ledger import JobKey, TrainingLedger
from fly64_assets.science.methods.record import TrainingResult
from fly64_assets.storage import FileRecord

JOB = JobKey(1000.0, "dense", "pinn", 2, 1, "trained_bundle/dose_1000/dense/gs2")
BUNDLE = f"{JOB.folder}/wts.h5.zip"


@pytest.fixture
def ledger(tmp_path: Path) -> TrainingLedger:
    (tmp_path / "trained_bundle").mkdir()
    return TrainingLedger(tmp_path)


def entry(ledger: TrainingLedger) -> dict:
    (only,) = json.loads(ledger.manifest.read_text())["jobs"]
    return only


def complete(ledger: TrainingLedger) -> None:
    result = TrainingResult(ledger.data_root / BUNDLE, [], 0.5, 18, 1.0, 64, {})
    ledger.record_success(JOB, result, BUNDLE, FileRecord(sha256="a" * 64, size_bytes=10))


def test_a_bundle_stands_in_the_manifest_until_another_replaces_it(ledger: TrainingLedger) -> None:
    complete(ledger)
    ledger.record_start(JOB)
    assert (entry(ledger)["status"], entry(ledger)["bundle_sha256"]) == ("running", "a" * 64)
    ledger.record_failure(JOB, "ended from outside")
    assert (entry(ledger)["status"], entry(ledger)["error"]) == ("failed", "ended from outside")
    assert entry(ledger)["bundle_path"] == BUNDLE
    complete(ledger)
    assert (entry(ledger)["status"], entry(ledger)["error"]) == ("completed", None)


def test_a_skip_ends_with_the_next_training_and_leaves_no_bundle(ledger: TrainingLedger) -> None:
    complete(ledger)
    ledger.record_skip(JOB, "too few positions")
    assert "bundle_path" not in entry(ledger)
    assert json.loads(ledger.skips.read_text())["skipped"][0]["reason"] == "too few positions"
    ledger.record_start(JOB)
    assert "reason" not in entry(ledger)
    assert json.loads(ledger.skips.read_text())["skipped"] == []
