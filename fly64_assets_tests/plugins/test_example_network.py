"""The example network trains like a shipped one, and explains counts that it has not seen better than it did before."""

from pathlib import Path

import numpy as np
import torch

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.record import METHOD_KINDS, TrainingTask
from fly64_assets.science.networks.bundle import read_bundle
from fly64_assets.science.networks.record import build_network
from fly64_assets.science.options import ViewOptions
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets_tests.science.small_scan import simulate, small_scan

OPTIONS = {"network": "example_network", "epochs": 6, "stages": 3, "width": 8, "batch_size": 8, "groups_per_epoch": 64}


def test_it_trains_and_beats_its_own_start(installed: Path, tmp_path: Path) -> None:
    simulate(small_scan(), tmp_path, 1e4)
    kind = METHOD_KINDS.get("unrolled")
    assert kind.train is not None
    options = kind.options.model_validate(OPTIONS)
    (tmp_path / "work").mkdir()
    provenance = {
        "method": "guest",
        "dose": 1e4,
        "view": "dense",
        "dataset_sha256": "0" * 64,
        "parameter_hash": "0" * 64,
    }
    task = TrainingTask(tmp_path / "train.npz", ViewOptions(), 1, tmp_path / "work", provenance)
    trained = kind.train(task, options)
    assert {name: verdict["passed"] for name, verdict in trained.verdicts.items()} == dict.fromkeys(
        ("finite_weights", "weights_changed", "learned"), True
    )
    bundle = read_bundle(trained.bundle_path)
    assert "example_network" in bundle.manifest.model_dump_json()
    unseen = ScanCanvas.of(read_dataset(tmp_path / "test.npz").measurement).data
    torch.manual_seed(1)
    networks = (build_network("example_network", stages=3, width=8), bundle.network())
    with torch.no_grad():
        before, after = (unseen.look(network(unseen)).half_deviance for network in networks)
    assert np.isfinite(after)
    assert after < before
